"""From joules to the facility, the carbon and the bill."""
