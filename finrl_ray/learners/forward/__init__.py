"""The deterministic actions of SB3's policies in compiled code, bit for bit with torch's."""
