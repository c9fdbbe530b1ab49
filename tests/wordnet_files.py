"""A WordNet of a few words, in its own format, for tests."""

from pathlib import Path

# Each noun with its definition and the noun that it is a kind of.
NOUNS = {
    "thing": ("what is there", None),
    "animal": ("a living thing that moves", "thing"),
    "plant": ("a living thing that stays", "thing"),
    "tool": ("what work is done with", "thing"),
    "metal": ("a hard stuff that shines", "thing"),
    "bird": ("an animal with feathers", "animal"),
    "fish": ("it lives in water and has fins", "animal"),
    "oak": ("a tall tree with acorns", "plant"),
    "moss": ("low and green on stones", "plant"),
    "hammer": ("it drives nails", "tool"),
    "saw": ("it cuts wood", "tool"),
    "iron": ("it rusts", "metal"),
    "robin": ('small, with a red breast; "a robin sang"', "bird"),
}
LICENCE = "  1 A licence, as the first lines of WordNet's files have it.\n"


def write_wordnet(folder: Path) -> Path:
    """Write `index.noun` and `data.noun`; `bird` and `robin` share a meaning each with one more word."""
    folder.mkdir(parents=True)
    places = {noun: 1000 + number for number, noun in enumerate(NOUNS)}
    data, index = LICENCE, LICENCE
    for noun, (definition, parent) in NOUNS.items():
        also = " redbreast 0" if noun == "robin" else ""
        pointers = f"001 @ {places[parent]:08} n 0000" if parent else "000"
        data += f"{places[noun]:08} 03 n {2 if also else 1:02x} {noun} 0{also} {pointers} | {definition}  \n"
        index += f"{noun} n 1 {'1 @' if parent else '0'} 1 1 {places[noun]:08}  \n"
    # Never counted in a text, so not common.
    index += f"redbreast n 1 1 @ 1 0 {places['robin']:08}  \n"
    (folder / "data.noun").write_text(data)
    (folder / "index.noun").write_text(index)
    return folder
