"""From a finished search to the folder of an agent that trades on."""
