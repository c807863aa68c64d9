package web

import "regexp"

// technical is what errors of the language and of its libraries have in them, and no sentence for people does.
var technical = regexp.MustCompile(`\b(dial|read|write|listen) (tcp|udp|unix)|\blookup \S+( on \S+)?: |\bGet "|\bPost "|\bPatch "|\bPut "|\bDelete "|struct field|\b(json|toml|sql|xml|strconv|x509|tls|http2?|net/http|oauth2|context|proto|asn1|pem|crypto/[a-z0-9]+): |context (deadline exceeded|canceled)|unexpected EOF|: EOF\b|^EOF\b|invalid character|i/o timeout|connection re(fused|set)|no such host|broken pipe|SQLITE_|goroutine |runtime error|U\+[0-9A-F]{4}|main\.[a-z][A-Za-z]*Config`)

// Technical reports whether a text is one that a library has made of an error, which belongs into the log.
func Technical(text string) bool { return technical.MatchString(text) }

// Unknown is what a person is told of an error that has no words of its own.
const Unknown Text = "Something went wrong that the bridge has no words for."
