"""Words of the generated shop: what its items are made of, what they are, and in which sizes they come.

Each category holds families (materials, products with a base price, variants); a title is one of each.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Product:
    """One entry of the catalogue before it has an id; price is the family's base price in euros."""

    title: str
    category: str
    material: str
    price: float


FAMILIES: dict[str, list[tuple[str, str, str]]] = {
    "Kitchen": [
        (
            "Oak|Walnut|Beech|Olive wood|Acacia|Maple",
            "serving board:38|chopping board:32|bread bin:54|spice rack:44|knife block:62|rolling pin:18",
            "|, small|, large",
        ),
        (
            "Cast-iron|Enamelled|Copper",
            "frying pan:58|casserole:92|saucepan:64|griddle:49",
            "|, 20 cm|, 28 cm",
        ),
    ],
    "Tableware": [
        (
            "Stoneware|Porcelain|Bone china|Speckled|Terracotta",
            "dinner plate:16|pasta bowl:18|mug:13|serving dish:34|cereal bowl:14|side plate:11",
            "|, set of 2|, set of 4",
        ),
        (
            "Recycled glass|Smoked glass|Crystal",
            "tumbler:9|wine glass:12|carafe:28|dessert bowl:11",
            "|, set of 4",
        ),
    ],
    "Table linen": [
        (
            "Linen|Cotton|Half-linen|Washed linen|Striped|Checked",
            "tea towel:12|tablecloth:58|table runner:29|napkin:8|apron:34|oven glove:16",
            "|, set of 2|, set of 3|, natural|, indigo",
        ),
    ],
    "Bedroom": [
        (
            "Linen|Percale|Sateen|Flannel|Bamboo|Jersey",
            "duvet cover:89|pillowcase:22|fitted sheet:42|flat sheet:48|bedspread:110|bolster:38",
            "|, single|, double|, king",
        ),
    ],
    "Bathroom": [
        (
            "Waffle|Terry|Organic cotton|Hammam|Ribbed|Velour",
            "bath towel:27|hand towel:14|bath mat:32|bathrobe:79|face cloth:7|guest towel:11",
            "|, sand|, sage|, charcoal",
        ),
    ],
    "Lighting": [
        (
            "Brass|Rattan|Paper|Opal glass|Concrete|Ash|Linen",
            "pendant lamp:98|table lamp:76|floor lamp:149|wall lamp:64|reading lamp:69|night light:34",
            "|, small|, large|, dimmable",
        ),
    ],
    "Living room": [
        (
            "Wool|Mohair|Boucle|Velvet|Corduroy|Knitted",
            "cushion:39|throw:84|pouffe:119|floor cushion:68|draught stopper:24|bolster cushion:45",
            "|, ochre|, moss|, rust|, oatmeal",
        ),
    ],
    "Rugs": [
        (
            "Jute|Wool|Cotton|Kilim|Flatweave|Recycled",
            "rug:139|runner:79|doormat:32|bedside rug:58|round rug:119",
            "|, 60 × 90 cm|, 80 × 200 cm|, 140 × 200 cm|, 170 × 240 cm",
        ),
    ],
    "Garden": [
        (
            "Galvanised|Terracotta|Zinc|Teak|Weathered oak|Fibre clay",
            "plant pot:24|window box:36|watering can:32|bird bath:58|trough:49|bird feeder:27|seed tray:29",
            "|, small|, medium|, large",
        ),
    ],
    "Outdoor living": [
        (
            "Acacia|Powder-coated|Rope|Teak|Folding|Striped canvas",
            "deckchair:89|side table:74|bench:189|lantern:29|hammock:79|picnic blanket:44|stool:56",
            "|, natural|, olive|, graphite",
        ),
    ],
    "Storage": [
        (
            "Seagrass|Willow|Felt|Wire|Bamboo|Canvas",
            "basket:28|laundry hamper:58|magazine rack:34|shelf box:22|trunk:96|wall pocket:26|tray:19",
            "|, small|, large|, set of 3",
        ),
    ],
    "Stationery": [
        (
            "Clothbound|Recycled|Dotted|Ruled|Leather|Marbled",
            "notebook:16|weekly planner:22|sketchbook:19|address book:18|photo album:34|guest book:29",
            "|, A5|, A4|, pocket",
        ),
    ],
    "Candles and scent": [
        (
            "Beeswax|Fig|Cedar|Lavender|Sea salt|Bergamot|Vetiver",
            "candle:24|diffuser:36|room spray:22|tea lights:9|soap bar:8|bath salts:18|hand wash:14",
            "|, travel size|, refill",
        ),
    ],
    "Children": [
        (
            "Wooden|Muslin|Organic cotton|Knitted|Felt|Painted",
            "stacking toy:22|animal set:29|playmat:64|blanket:39|bib:11|mobile:34|puzzle:19|rattle:14",
            "|, forest|, ocean|, farm",
        ),
    ],
    "Coffee and tea": [
        (
            "Glass|Ceramic|Stainless steel|Enamel|Cast-iron|Porcelain",
            "teapot:44|pour-over dripper:26|coffee canister:24|milk jug:18|espresso cup:12|tea strainer:10",
            "|, for two|, for four|, matt black",
        ),
    ],
    "Accessories": [
        (
            "Leather|Waxed canvas|Merino|Lambswool|Cork|Cashmere",
            "scarf:59|key ring:14|wash bag:34|tote bag:39|gloves:42|beanie:32|card holder:28|slippers:48",
            "|, navy|, tan|, grey",
        ),
    ],
}

# The month (1 to 12) in which a category sells best, and by how much more than on average.
SEASONS: dict[str, tuple[int, float]] = {
    "Garden": (5, 0.8),
    "Outdoor living": (6, 0.8),
    "Rugs": (10, 0.3),
    "Living room": (11, 0.45),
    "Lighting": (11, 0.4),
    "Candles and scent": (12, 0.6),
    "Children": (12, 0.4),
    "Stationery": (9, 0.5),
    "Accessories": (12, 0.5),
    "Coffee and tea": (12, 0.25),
    "Bathroom": (1, 0.2),
    "Bedroom": (1, 0.3),
}

# Sellers, the largest first, and how fast the next one is smaller: the share falls with rank to this power.
SELLERS = (
    "Aldermoor", "Brisk & Daughters", "Casa Lume", "Dovetail", "Elm and Ember", "Fjordhus", "Gannet Trading",
    "Hearthwright", "Indigo Row", "Juniper Lane", "Kettle and Co", "Larkfield",
)  # fmt: skip
SELLER_FALL = 0.9


def all_products() -> list[Product]:
    """List every combination, each title once, in a fixed order."""
    products: dict[str, Product] = {}
    for category, families in FAMILIES.items():
        for materials, kinds, variants in families:
            for at, material in enumerate(materials.split("|")):
                for kind in kinds.split("|"):
                    noun, _, base = kind.partition(":")
                    for size, variant in enumerate(variants.split("|")):
                        price = float(base) * (1 + 0.08 * at) * (1 + 0.15 * size)
                        title = f"{material} {noun}{variant}"
                        products.setdefault(title, Product(title, category, material, price))
    return list(products.values())
