"""How the binning query and who reads its rows understand each other."""

NEGATIVE, FAILED = -1, -1
"""Row of negative inputs, and column of requests without output; negative outputs come below."""

LIMBS, LIMB_BITS = 3, 21
"""Most engines sum whole numbers in 64 bits, and warehouses of logs may hold 10^11 requests whose
squared lengths take 62. So every term is summed in three pieces of 21 bits: a sum of 2^42 pieces
still fits, which is 4 x 10^12 requests in a cell."""
