"""Other people's JWT library reads our provider token: verify_token.py PUBLIC_KEY_PEM, the token on stdin."""

import json
import sys

import jwt

token = sys.stdin.read().strip()
with open(sys.argv[1], encoding="ascii") as key:
    claims = jwt.decode(token, key.read(), algorithms=["ES256"], options={"verify_exp": False})
assert "=" not in token
print(json.dumps({"header": jwt.get_unverified_header(token), "claims": claims}))
