"""Settings of the scripts of 2019."""


def known(data):
    """Keys that are theirs."""
    return sum(str(key).startswith("jpca_") for key in data)


def translate(data, reading):
    """Into ours."""
    for key, value in data.items():
        if key == "jpca_factors":
            reading.put(key, "model.generator.factors", value)
        elif key == "jpca_planes":
            reading.put(key, "rotations.planes", value)
        else:
            reading.leave(key, "nobody remembers what it meant")
