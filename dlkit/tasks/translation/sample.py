"""Simple sentences in English and Spanish, written for dlkit: a few by hand, the rest put together from parts."""

from __future__ import annotations

import itertools

import numpy as np

# English, Spanish with its article, whether feminine.
THINGS = [
    ("house", "la casa", True),
    ("table", "la mesa", True),
    ("key", "la llave", True),
    ("window", "la ventana", True),
    ("bicycle", "la bicicleta", True),
    ("door", "la puerta", True),
    ("book", "el libro", False),
    ("car", "el coche", False),
    ("phone", "el teléfono", False),
    ("hat", "el sombrero", False),
    ("clock", "el reloj", False),
    ("garden", "el jardín", False),
]
STATES = [
    ("new", "nueva", "nuevo"),
    ("old", "vieja", "viejo"),
    ("small", "pequeña", "pequeño"),
    ("white", "blanca", "blanco"),
    ("red", "roja", "rojo"),
    ("expensive", "cara", "caro"),
]
PEOPLE = [
    ("My sister", "Mi hermana"),
    ("My brother", "Mi hermano"),
    ("The teacher", "La maestra"),
    ("Our neighbour", "Nuestro vecino"),
    ("The doctor", "El médico"),
    ("Ana", "Ana"),
    ("Her son", "Su hijo"),
]
HABITS = [
    ("drinks coffee", "bebe café"),
    ("reads the newspaper", "lee el periódico"),
    ("walks in the park", "pasea por el parque"),
    ("buys bread", "compra pan"),
    ("sings in the kitchen", "canta en la cocina"),
    ("works at home", "trabaja en casa"),
    ("calls his friends", "llama a sus amigos"),
]
TIMES = [
    ("every morning", "todas las mañanas"),
    ("every night", "todas las noches"),
    ("on Mondays", "los lunes"),
    ("on Sundays", "los domingos"),
    ("in summer", "en verano"),
]
WISHES = [
    ("I want to sell", "Quiero vender"),
    ("We want to buy", "Queremos comprar"),
    ("I cannot find", "No encuentro"),
    ("She is looking at", "Ella mira"),
    ("They are cleaning", "Ellos limpian"),
    ("I like", "Me gusta"),
]
PLACES = [
    ("the station", "la estación"),
    ("the beach", "la playa"),
    ("the school", "la escuela"),
    ("the market", "el mercado"),
    ("the hospital", "el hospital"),
    ("the library", "la biblioteca"),
]
BY_HAND = [
    ("Good morning!", "¡Buenos días!"),
    ("How are you?", "¿Cómo estás?"),
    ("I am very tired today.", "Hoy estoy muy cansado."),
    ("What time is it?", "¿Qué hora es?"),
    ("It is raining again.", "Está lloviendo otra vez."),
    ("Thank you for your help.", "Gracias por tu ayuda."),
    ("See you tomorrow!", "¡Hasta mañana!"),
    ("I do not understand the question.", "No entiendo la pregunta."),
    ("Could you speak more slowly, please?", "¿Podrías hablar más despacio, por favor?"),
    ("The soup is too hot.", "La sopa está demasiado caliente."),
    ("We arrived late because of the snow.", "Llegamos tarde por la nieve."),
    ("Nobody knows his name.", "Nadie sabe su nombre."),
    ("My grandmother was born in 1941.", "Mi abuela nació en 1941."),
    ("The train leaves at half past six.", "El tren sale a las seis y media."),
    ("How much does it cost?", "¿Cuánto cuesta?"),
    ("I forgot my umbrella on the bus.", "Olvidé mi paraguas en el autobús."),
    ("The children are playing outside.", "Los niños juegan fuera."),
    ("It was a long, quiet winter.", "Fue un invierno largo y tranquilo."),
    ("Take care of yourself.", "Cuídate."),
    ("He closed the door and turned off the light.", "Cerró la puerta y apagó la luz."),
]
HELD_OUT = 40  # pairs for validation, and as many for testing


def make_sentences() -> dict[str, dict[str, list[str]]]:
    """The splits train, validation and test: `{"source": [...], "target": [...]}`, no pair in two of them.

    Those written by hand are for training; the test asks for new sentences of known words.
    """
    pairs = [*_states(), *_habits(), *_wishes(), *_questions(), *_ways()]
    order = np.random.RandomState(0).permutation(len(pairs))  # its stream is frozen across NumPy's releases
    mixed = [pairs[place] for place in order]
    parts = {
        "train": BY_HAND + mixed[2 * HELD_OUT :],
        "validation": mixed[:HELD_OUT],
        "test": mixed[HELD_OUT : 2 * HELD_OUT],
    }
    return {
        name: {"source": [pair[0] for pair in part], "target": [pair[1] for pair in part]}
        for name, part in parts.items()
    }


def _states() -> list[tuple[str, str]]:
    return [
        (f"The {thing} is {state}.", f"{_capital(cosa)} es {forms[0] if feminine else forms[1]}.")
        for (thing, cosa, feminine), (state, *forms) in itertools.product(THINGS, STATES)
    ]


def _habits() -> list[tuple[str, str]]:
    every = list(itertools.product(PEOPLE, HABITS, TIMES))
    return [
        (f"{person} {habit} {time}.", f"{persona} {costumbre} {cuando}.")
        for (person, persona), (habit, costumbre), (time, cuando) in every
        if "his" not in habit or persona not in ("Mi hermana", "La maestra", "Ana")
    ][::2]


def _wishes() -> list[tuple[str, str]]:
    return [
        (f"{wish} the {thing}.", f"{deseo} {cosa}.")
        for (wish, deseo), (thing, cosa, _) in itertools.product(WISHES, THINGS)
    ]


def _questions() -> list[tuple[str, str]]:
    return [
        (f"Where is the {thing}, {name}?", f"¿Dónde está {cosa}, {name}?")
        for (thing, cosa, _), name in itertools.product(THINGS, ("Pedro", "Lucía", "Tomás"))
    ]


def _ways() -> list[tuple[str, str]]:
    return [
        (f"{person} goes to {place} {time}.", f"{persona} va {_to(lugar)} {cuando}.")
        for (person, persona), (place, lugar), (time, cuando) in itertools.product(PEOPLE, PLACES, TIMES)
    ][::3]


def _to(place: str) -> str:
    return f"al {place[3:]}" if place.startswith("el ") else f"a {place}"


def _capital(text: str) -> str:
    return text[0].upper() + text[1:]
