"""Names of levels, products and parameters: gribberish's, in SI units, for both editions.

They depend on one message alone, so that files of a series have the same groups and names.
"""

from __future__ import annotations

import re
from functools import lru_cache

import eccodes

SURFACES = {
    1: ("sfc", ""),
    2: ("clb", ""),
    3: ("clt", ""),
    4: ("zero_deg_isotherm", ""),
    5: ("adiabatic_condensation_lifted", ""),
    6: ("mwl", ""),
    7: ("tro", ""),
    8: ("nominal_top", ""),
    9: ("bot", ""),
    10: ("atm", ""),
    14: ("lfc", ""),
    20: ("isotherm", "K"),
    100: ("isobar", "Pa"),
    101: ("msl", ""),
    102: ("asl", "m"),
    103: ("hag", "m"),
    104: ("sigma", "1"),
    105: ("hybrid", "1"),
    106: ("depth_bls", "m"),
    107: ("isentrope", "K"),
    108: ("pres_diff", "Pa"),
    109: ("pv", "K m2 kg-1 s-1"),
    111: ("eta", "1"),
    113: ("log_hybrid", "1"),
    114: ("snow", "1"),
    115: ("sigma_h", "1"),
    117: ("mixed_depth", "m"),
    118: ("hybrid_height", "1"),
    119: ("hybrid_pressure", "1"),
    150: ("gen_vertical", "1"),
    151: ("soil", "1"),
    152: ("sea_ice", "1"),
    160: ("depth_bsl", "m"),
    161: ("depth_bws", "m"),
    166: ("mixing", ""),
    168: ("ocean_model", "1"),
    169: ("ocean_density", "kg m-3"),
    170: ("ocean_temperature", "K"),
    174: ("sea_ice_top", ""),
    177: ("deep_soil", "m"),
    200: ("entire_atm", ""),
    201: ("entire_ocean", ""),
    204: ("htfl", ""),
    211: ("bndry_cloud", ""),
    212: ("lcl_bot", ""),
    213: ("lcl_top", ""),
    214: ("lcl", ""),
    215: ("cld_ceiling", ""),
    220: ("pbl", ""),
    222: ("mcl_bot", ""),
    223: ("mcl_top", ""),
    224: ("mcl", ""),
    232: ("hcl_bot", ""),
    233: ("hcl_top", ""),
    234: ("hcl", ""),
    242: ("ccl_bot", ""),
    243: ("ccl_top", ""),
    244: ("ccl", ""),
    247: ("eql", ""),
}
"""Code table 4.5 of edition 2: name and unit of the value."""
FIRST_EDITION = {
    20: (20, 0.01),
    100: (100, 100.0),
    103: (102, 1.0),
    105: (103, 1.0),
    107: (104, 1e-4),
    109: (105, 1.0),
    111: (106, 0.01),
    113: (107, 1.0),
    115: (108, 100.0),
    117: (109, 1e-9),
    119: (111, 1e-4),
    125: (103, 0.01),
    126: (100, 1.0),
    160: (160, 1.0),
    210: (100, 1.0),
}
"""Table 3 of edition 1: the code of edition 2, and what its value is multiplied with."""
FIRST_EDITION_LAYERS = {
    101: (100, 1000.0),
    104: (102, 100.0),
    106: (103, 100.0),
    108: (104, 0.01),
    110: (105, 1.0),
    112: (106, 0.01),
    116: (108, 100.0),
    120: (111, 0.01),
}
SAME_CODE = {*range(1, 10), 200, 201}
STATISTICS = {
    0: "avg",
    1: "acc",
    2: "max",
    3: "min",
    4: "diff",
    5: "rms",
    6: "std",
    7: "cov",
    8: "diff_inv",
    9: "ratio",
    10: "std_anom",
    11: "sum",
}
FIRST_EDITION_STATISTICS = {"accum": "acc", "sd": "std"}
"""ecCodes' word for a statistic, where the group has another."""
CELL_METHODS = {
    "avg": "mean",
    "acc": "sum",
    "max": "maximum",
    "min": "minimum",
    "std": "standard_deviation",
    "sum": "sum",
}
DERIVED = {
    0: "mean",
    1: "weighted_mean",
    2: "std_cluster",
    3: "std_normalized",
    4: "spread",
    5: "anomaly_index",
    6: "cluster_mean",
    7: "interquartile",
    8: "lowest",
    9: "highest",
    10: "variance",
}
PROBABILITIES = {
    0: ("prob_below", ("lower",)),
    1: ("prob_above", ("upper",)),
    2: ("prob_between", ("lower", "upper")),
    3: ("prob_above_lower", ("lower",)),
    4: ("prob_below_upper", ("upper",)),
    5: ("prob_equal", ("lower",)),
    6: ("prob_above_normal", ()),
    7: ("prob_near_normal", ()),
    8: ("prob_below_normal", ()),
    9: ("prob_count_above", ("lower",)),
    10: ("prob_between_inclusive", ("lower", "upper")),
}
"""Code table 4.9: the group, and the limits that count."""
AXES = {
    "number": ("", "member of the ensemble"),
    "percentile": ("%", "percentile"),
    "threshold": ("", "limit of the probability"),
    "quantile": ("1", "quantile"),
    "wave_direction": ("1", "number of the wave's direction"),
    "wave_frequency": ("1", "number of the wave's frequency"),
}
"""Unit and long name of axes beside times and levels."""
DETAILS = (
    *("constituentType", "sourceSinkChemicalPhysicalProcess", "aerosolType", "typeOfSizeInterval"),
    *("firstSize", "secondSize", "typeOfWavelengthInterval", "firstWavelength", "secondWavelength"),
    *("derivedForecast", "clusterIdentifier", "statisticalProcess", "spatialProcessing"),
    *("satelliteSeries", "satelliteNumber", "instrumentType", "channelNumber"),
    *("scaledValueOfCentralWaveNumber", "tileIdentification", "numberOfTimeRanges"),
    *("marsClass", "marsType", "marsStream", "experimentVersionNumber"),
)
"""ecCodes' keys that tell what a field is, beside parameter, level, time, member and limits."""
RESERVED = {
    *("time", "reference_time", "step", "valid_time", "latitude", "longitude", "x", "y", "point"),
    *("spatial_ref", "bnds", "coefficient", *AXES, *(name for name, _ in SURFACES.values())),
}


def surface_name(first: int, second: int, values: int) -> str:
    """The group of a kind of level, and its axis. ``values`` it has: one, or two of a layer."""
    name = SURFACES.get(first, (f"surface_{first}", ""))[0]
    if second not in (255, first):
        return f"{name}_to_{SURFACES.get(second, (f'surface_{second}', ''))[0]}"
    return f"{name}_layer" if values == 2 else name


def surface_unit(code: int) -> str:
    """Of the value on a kind of surface; none if such a surface has no value."""
    return SURFACES.get(code, ("", "1"))[1]


@lru_cache(maxsize=4096)
def parameter_name(
    centre: int, tables: tuple[int, int], parameter: tuple[int, ...], short_name: str
) -> str:
    """gribberish's name of a parameter; ecCodes' if that has none, or its numbers."""
    name = _by_gribberish(centre, tables, parameter) if len(parameter) == 3 else ""
    if not name and short_name not in ("unknown", "~"):
        name = short_name
    name = re.sub(r"\W", "_", name.lower())
    if not name or name in RESERVED:
        return "_".join(["parameter", *map(str, parameter)])
    return name


def _by_gribberish(centre: int, tables: tuple[int, int], parameter: tuple[int, ...]) -> str:
    from gribberish import parse_grib_message_metadata

    handle = eccodes.codes_grib_new_from_samples("GRIB2")
    keys = ("centre", "tablesVersion", "localTablesVersion")
    numbers = ("discipline", "parameterCategory", "parameterNumber")
    try:
        for key, value in zip((*keys, *numbers), (centre, *tables, *parameter), strict=True):
            eccodes.codes_set(handle, key, value)
        name = parse_grib_message_metadata(eccodes.codes_get_message(handle), 0).var_abbrev
    except Exception:  # what it does not know it says in several ways
        return ""
    finally:
        eccodes.codes_release(handle)
    return "" if name.lower() in ("missing", "unknown") else name
