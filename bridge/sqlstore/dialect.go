package sqlstore

import (
	"encoding/json"
	"strconv"
	"strings"
)

// The store's queries are written once, in SQL that both databases know, with five things that translate turns into what each takes:
//
//	?  ?N              arguments, by their place or by their number
//	x IN list(?)       x is one of a list, the argument being a list
//	INDEXED BY i       a hint for SQLite, which PostgreSQL neither needs nor takes
//	FOR NO KEY UPDATE  locks rows against other writers until the transaction ends; all of an SQLite database is locked by then
//	user, instr(x, y)  PostgreSQL's user is a function unless it is quoted, and its instr is called strpos
//
// What else differs is avoided: aliases for subqueries, columns of what is updated by their table, conflicts with their columns,
// NULLS FIRST or LAST wherever there are any, and flags that are compared with 1.

// list is an argument for IN list(?).
type list []string

// listOf is a list of ids or names.
func listOf[T ~string](of []T) list {
	l := make(list, len(of))
	for i, v := range of {
		l[i] = string(v)
	}
	return l
}

// json is the list as SQLite's json_each reads it.
func (l list) json() string {
	if l == nil {
		l = list{}
	}
	b, err := json.Marshal([]string(l))
	if err != nil {
		panic(err) // strings always marshal
	}
	return string(b)
}

// statement is a query as a database takes it.
type statement struct {
	text string
	args []int // which arguments it takes, by their index, in its own order
}

// forSQLite keeps the query's numbers of arguments, which SQLite knows.
func forSQLite(query string) string {
	query = strings.ReplaceAll(query, " FOR NO KEY UPDATE", "")
	for {
		before, rest, ok := strings.Cut(query, " list(")
		if !ok {
			return query
		}
		arg, after, _ := strings.Cut(rest, ")")
		query = before + " (SELECT value FROM json_each(" + arg + "))" + after
	}
}

// forPostgres numbers the arguments in the order in which they are first used: PostgreSQL takes none that are not.
func forPostgres(query string) statement {
	var s statement
	var b strings.Builder
	numbers := map[int]int{} // from those of the query
	last := 0
	argument := func() (text string, rest string) {
		end := 1
		for end < len(query) && '0' <= query[end] && query[end] <= '9' {
			end++
		}
		n, err := strconv.Atoi(query[1:end])
		if err != nil {
			n = last + 1
		}
		last = max(last, n)
		if numbers[n] == 0 {
			s.args = append(s.args, n-1)
			numbers[n] = len(s.args)
		}
		return "$" + strconv.Itoa(numbers[n]), query[end:]
	}
	for query != "" {
		switch c := query[0]; {
		case c == '\'' || c == '"':
			end := strings.IndexByte(query[1:], c) + 2
			b.WriteString(query[:end])
			query = query[end:]
		case strings.HasPrefix(query, "/*"):
			_, query, _ = strings.Cut(query, "*/")
		case c == '?':
			var text string
			text, query = argument()
			b.WriteString(text)
		case isWord(c):
			end := 1
			for end < len(query) && isWord(query[end]) {
				end++
			}
			word := query[:end]
			query = query[end:]
			switch {
			case word == "user":
				word = `"user"`
			case word == "instr":
				word = "strpos"
			case word == "IN" && strings.HasPrefix(query, " list("):
				query = strings.TrimPrefix(query, " list(")
				var text string
				text, query = argument()
				query = strings.TrimPrefix(query, ")")
				word = "= ANY (" + text + "::text[])"
			case word == "INDEXED" && strings.HasPrefix(query, " BY "):
				query = strings.TrimPrefix(query, " BY ")
				query = strings.TrimLeftFunc(query, func(r rune) bool { return r < 0x80 && isWord(byte(r)) })
				word = ""
			}
			b.WriteString(word)
		default:
			b.WriteByte(c)
			query = query[1:]
		}
	}
	s.text = b.String()
	return s
}

func isWord(c byte) bool {
	return c == '_' || '0' <= c && c <= '9' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
}
