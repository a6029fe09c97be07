"""Short passages with questions, written for dlkit: invented people, towns, ships and animals, and some facts."""

from __future__ import annotations

import random
from typing import Any

FIRST = (
    "Ada Bruno Clara Dmitri Elena Farid Greta Hugo Ines Jonas Kavya Liam Mina Noor Oskar Petra Quentin Rosa Sami Tuva"
)
LAST = (
    "Abel Brandt Castillo Dahl Ekwueme Fontaine Grieg Hallström Ibarra Jansen Køhler Lemaire Moreau Novák Okafor Pires"
)
TOWNS = (
    "Aldermoor Brightwater Castlebrook Dunmere Eastvale Fernhollow Greystone Highcliff Ironbridge Kestrel Lowenfels "
    "Marrowby Northgate Oakhurst Pinewick Quarrytown Redwater Saltmarsh Thornbury Underhill Valmont Westerlund Yarrow"
)
JOBS = (
    "baker carpenter dentist engineer farmer geologist nurse painter pilot surgeon tailor teacher translator watchmaker"
)
THINGS = "bakery bookshop brewery cinema clinic gallery library museum orchestra pottery school theatre workshop zoo"
RIVERS = "Arvel Benna Corrin Dess Ethra Fallow Garron Isk Lune Meriel Ossel Tavy Ulm Vesk Wharn"
GOODS = "amber bricks cheese cider clocks copper glass lace paper salt silk timber tobacco violins wool"
SHIPS = "Albatross Beacon Comet Dauntless Endeavour Falcon Gallant Horizon Intrepid Juno Meridian Nautilus Petrel Swift"
ANIMALS = "badger crane ferret heron lemur lynx marten otter owl pelican raccoon seal stork tortoise vulture"
FOODS = "acorns beetles berries crabs fish frogs insects leaves mice mushrooms roots seeds snails worms"
PLACES = "caves forests gardens hedges lakes marshes meadows mountains reeds riverbanks ruins valleys"

# A sentence of facts, and its questions, each with the name of the fact that answers it.
PERSON = [
    ("{name} was born in {town} in {year}.", ["Where was {name} born?|town", "In which year was {name} born?|year"]),
    ("{name} worked as a {job} for {number} years.", ["What was the job of {name}?|job",
                                                      "How many years did {name} work as a {job}?|number"]),
    ("In {later}, {name} opened a {thing} in {other}.", ["What did {name} open in {other}?|thing",
                                                        "When did {name} open a {thing}?|later"]),
    ("Her closest friend was {friend}, who paid {money} for it.", ["Who was the closest friend of {name}?|friend",
                                                                   "How much did {friend} pay?|money"]),
]  # fmt: skip
TOWN = [
    ("{town} lies on the river {river}.", ["On which river does {town} lie?|river"]),
    ("It was founded in {year} by {name}.", ["When was {town} founded?|year", "Who founded {town}?|name"]),
    ("The town is known for its {good} and has {number} inhabitants.",
     ["What is {town} known for?|good", "How many inhabitants does {town} have?|number"]),
    ("The {thing}, built in {later}, burned down and was rebuilt by {friend}.",
     ["Who rebuilt the {thing}?|friend", "When was the {thing} built?|later"]),
]  # fmt: skip
SHIP = [
    ("The {ship} left {town} in {year}.", ["Which town did the {ship} leave?|town", "When did the {ship} leave?|year"]),
    ("She carried {good} and a crew of {number}.", ["What did the {ship} carry?|good",
                                                    "How large was the crew of the {ship}?|number"]),
    ("Her captain was {name}, a former {job}.", ["Who was the captain of the {ship}?|name",
                                                 "What had {name} been before?|job"]),
    ("In {later} the ship sank near {other}.", ["Near which town did the {ship} sink?|other",
                                               "When did the ship sink?|later"]),
]  # fmt: skip
ANIMAL = [
    ("The {animal} of {town} lives in {place}.", ["Where does the {animal} live?|place"]),
    ("It eats mostly {food} and weighs {number} grams.", ["What does the {animal} eat?|food",
                                                          "How many grams does the {animal} weigh?|number"]),
    ("It was first described by {name} in {year}.", ["Who first described the {animal}?|name",
                                                     "In which year was the {animal} described?|year"]),
    ("Since {later}, hunting it costs a fine of {money}.", ["How high is the fine?|money",
                                                           "Since when is there a fine?|later"]),
]  # fmt: skip
FILLER = [
    "Little else is known.", "Old letters tell the story.", "Many visitors ask about it.", "The winters are long.",
    "A small plaque reminds of it – hardly anyone reads it.", "“It was a good time,” a neighbour said.",
]  # fmt: skip
WRITTEN = [
    (
        "A sourdough starter is a mixture of flour and water in which wild yeast and bacteria live. It is fed once a "
        "day with fresh flour. After about five days it smells sour and doubles in size within eight hours.",
        {
            "How often is a sourdough starter fed?": "once a day",
            "What lives in a starter?": "wild yeast and bacteria",
            "When does it double in size?": "within eight hours",
        },
    ),
    (
        "Das Café „Zur Brücke“ in Zürich opens at 7 a.m. Its owner, Zoë Müller, bakes 120 croissants every morning; "
        "the first tram passes at 5:42.",
        {
            "Who owns the café?": "Zoë Müller",
            "When does the café open?": "7 a.m.",
            "How many croissants are baked every morning?": "120",
        },
    ),
    (
        "Bicycles have right of way on the red lanes. Riders must ring a bell before they pass, and lights are "
        "required from dusk till dawn. The fine for riding without lights is 40 €.",
        {
            "What must riders do before they pass?": "ring a bell",
            "When are lights required?": "from dusk till dawn",
            "What is the fine for riding without lights?": "40 €",
        },
    ),
    (
        "The tide comes in twice a day. At Saint-Malo 🌊 the water rises by up to twelve metres, which drives a power "
        "plant in the mouth of the Rance. It was opened in 1966.",
        {
            "How often does the tide come in?": "twice a day",
            "What stands in the mouth of the Rance?": "a power plant",
            "When was the power plant opened?": "1966",
        },
    ),
]


def make_passages() -> dict[str, dict[str, list[Any]]]:
    """Make the splits train, validation and test; no passage is in two, and each has names of its own.

    Returns:
        Split name to `{"question", "context", "answers"}`; an answer is a text with its offset in characters.
    """
    splits = {}
    for split, count in (("train", 64), ("validation", 8), ("test", 12)):
        rng = random.Random(split)
        rows: list[tuple[str, str, list[tuple[str, int]]]] = []
        for number in range(count):
            rows += _make_passage(rng, (PERSON, TOWN, SHIP, ANIMAL)[number % 4])
        for text, questions in WRITTEN if split == "train" else []:
            rows += [(question, text, [(answer, text.index(answer))]) for question, answer in questions.items()]
        names = ("question", "context", "answers")
        splits[split] = {name: [row[index] for row in rows] for index, name in enumerate(names)}
    return splits


def _make_passage(rng: random.Random, kind: list) -> list[tuple[str, str, list[tuple[str, int]]]]:
    facts = _draw_facts(rng)
    first, *more = kind
    sentences = [first, *rng.sample(more, len(more))]
    for _ in range(rng.randrange(3)):
        sentences.insert(rng.randrange(1, len(sentences) + 1), (rng.choice(FILLER), []))
    text, rows = "", []
    for sentence, questions in sentences:
        begin = len(text)
        text += sentence.format(**facts) + " "
        for template in questions:
            question, _, answer = template.partition("|")
            before = sentence[: sentence.index(f"{{{answer}}}")].format(**facts)
            rows.append((question.format(**facts), facts[answer], begin + len(before)))
    text = text.strip()
    return [(question, text, [(answer, start)]) for question, answer, start in rows]


def _draw_facts(rng: random.Random) -> dict[str, str]:
    def draw(words: str, count: int = 1) -> list[str]:
        return rng.sample(words.split(), count)

    firsts, lasts, towns, year = draw(FIRST, 2), draw(LAST, 2), draw(TOWNS, 2), rng.randrange(1700, 1980)
    words_by_fact = {"job": JOBS, "thing": THINGS, "river": RIVERS, "good": GOODS, "ship": SHIPS, "animal": ANIMALS}
    words_by_fact |= {"food": FOODS, "place": PLACES}
    return {
        **{name: draw(words)[0] for name, words in words_by_fact.items()},
        "name": f"{firsts[0]} {lasts[0]}",
        "friend": f"{firsts[1]} {lasts[1]}",
        "town": towns[0],
        "other": towns[1],
        "year": str(year),
        "later": str(year + rng.randrange(5, 40)),
        "number": str(rng.randrange(12, 950)),
        "money": f"{rng.randrange(2, 90)} crowns",
    }
