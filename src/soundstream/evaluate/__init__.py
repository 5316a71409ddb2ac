"""Measuring a codec: speed now, quality beside other codecs later."""
