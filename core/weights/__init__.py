"""The weights that ship with the project; ``MODEL_CARD.md`` says where they come from."""
