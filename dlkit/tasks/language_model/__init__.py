"""Language models: text that goes on."""
