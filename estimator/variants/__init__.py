"""How a model may serve besides: eager, with tokens drawn, with a draft."""
