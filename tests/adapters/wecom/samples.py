"""What the tests of WeCom's channels share: the official vectors, a clock, and channels' surroundings."""

from __future__ import annotations

from adapters.wecom.timing import Timing

# From the documentation and the official samples of WeCom.
TOKEN = "hJqcu3uJ9Tn2gXPmxx2w9kkCkCE2EPYo"
AES_KEY = "6qkdMrq68nTKduznJYO1A37W2oEgpkMUvkttRToqhUt"
CORP = "ww1436e0e65a779aee"
TIMESTAMP, NONCE = "1476416373", "47744683"
ECHO = "fsi1xnbH4yQh0+PJxcOdhhK6TDXkjMyhEPA7xB2TGz6b+g7xyAbEkRxN/3cNXW9qdqjnoVzEtpbhnFyq6SVHyA=="
ECHO_SIGNATURE = "012bc692d0a58dd4b10f8dfe5c4ac00ae211ebeb"
ECHO_WORDS = b"1288432023552776189"

QUICK = Timing(
    connect=1.0,
    answer=1.0,
    call=4.0,
    first_pause=0.01,
    longest_pause=0.05,
    refused_pause=0.3,
    frequency_pause=0.5,
    body=1.0,
    store_limit=1.0,
    upkeep=0.1,
)
