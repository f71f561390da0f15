"""SB3's algorithms without their avoidable overhead; no market, no Ray."""
