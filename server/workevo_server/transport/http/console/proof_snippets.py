"""How a back end makes the `user_hash` of its users (R19), in the languages most of them are written in."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Snippet:
    language: str
    code: str


def proof_snippets(secret: str) -> Sequence[Snippet]:
    """Each defines one function from a user's id to its hash, in lower-case hexadecimal."""
    return [
        Snippet(language=language, code=code.strip().replace("SECRET_TEXT", secret))
        for language, code in _CODE.items()
    ]


_CODE = {
    "Node.js": """
const crypto = require("node:crypto");

function userHash(userId) {
  return crypto.createHmac("sha256", "SECRET_TEXT").update(userId, "utf8").digest("hex");
}
""",
    "Python": """
import hashlib
import hmac


def user_hash(user_id: str) -> str:
    return hmac.new(b"SECRET_TEXT", user_id.encode(), hashlib.sha256).hexdigest()
""",
    "Java": """
static String userHash(String userId) throws Exception {
  var utf8 = java.nio.charset.StandardCharsets.UTF_8;
  var mac = javax.crypto.Mac.getInstance("HmacSHA256");
  mac.init(new javax.crypto.spec.SecretKeySpec("SECRET_TEXT".getBytes(utf8), "HmacSHA256"));
  return java.util.HexFormat.of().formatHex(mac.doFinal(userId.getBytes(utf8)));
}
""",
    "PHP": """
function user_hash(string $user_id): string {
    return hash_hmac('sha256', $user_id, 'SECRET_TEXT');
}
""",
}
