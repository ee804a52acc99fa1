package engine

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// lexeme matches one token: a comment, a word, a number, a quoted text, an operator of two
// characters, or any other character.
var lexeme = regexp.MustCompile(`--[^\n]*|[A-Za-z_][A-Za-z0-9_]*|[0-9]+|'(?:[^']|'')*'|<>|<=|>=|\S`)

func tokenize(sql string) []string {
	return slices.DeleteFunc(lexeme.FindAllString(sql, -1), func(token string) bool {
		return strings.HasPrefix(token, "--")
	})
}

// parser reads the tokens of one statement. Its methods panic with *Unknown, which parse recovers.
type parser struct {
	tokens       []string
	at           int
	placeholders int
}

// unknown ends parsing. The construct that is not known is the current token, unless named.
func (p *parser) unknown(named ...string) {
	construct := strings.Join(named, " ")
	if construct == "" {
		construct = "the end"
		if p.peek() != "" {
			construct = strconv.Quote(p.peek())
		}
		construct += fmt.Sprintf(" after %q", strings.Join(p.tokens[max(0, p.at-3):p.at], " "))
	}
	panic(NewUnknown(construct))
}

// peek returns the current token, or "" at the end of the statement.
func (p *parser) peek() string {
	if p.at < len(p.tokens) {
		return p.tokens[p.at]
	}
	return ""
}

func (p *parser) next() string {
	token := p.peek()
	p.at++
	return token
}

// take consumes these words if they come next.
func (p *parser) take(words ...string) bool {
	for i, w := range words {
		if p.at+i >= len(p.tokens) || !strings.EqualFold(p.tokens[p.at+i], w) {
			return false
		}
	}
	p.at += len(words)
	return true
}

// expect consumes these words, which must come next.
func (p *parser) expect(words ...string) {
	for _, w := range words {
		if !p.take(w) {
			p.unknown()
		}
	}
}

// isEnd reports whether a query or a definition ends here.
func (p *parser) isEnd() bool { return slices.Contains([]string{"", ")", ";"}, p.peek()) }

// end expects the end of the statement.
func (p *parser) end() {
	if p.peek() != "" {
		p.unknown()
	}
}

// clauseWord matches words that can follow a complete expression.
var clauseWord = regexp.MustCompile(`(?i)^(select|distinct|from|where|join|left|right|full|cross|inner|natural|on|` +
	`group|having|qualify|union|order|by|desc|asc|nulls|limit|offset|as|with|set|values|into)$`)

// operatorWord matches other words that cannot be names, so that a missing name is noticed.
var operatorWord = regexp.MustCompile(`(?i)^(and|or|not|is|in|exists|null|true|false|case|like|between)$`)

func (p *parser) isName() bool {
	token := p.peek()
	return token != "" && (token[0] == '_' || token[0]|0x20 >= 'a' && token[0]|0x20 <= 'z') &&
		!clauseWord.MatchString(token) && !operatorWord.MatchString(token)
}

// name consumes a name and returns it in lower case.
func (p *parser) name() string {
	if !p.isName() {
		p.unknown()
	}
	return strings.ToLower(p.next())
}

func (p *parser) number() int64 {
	n, err := strconv.ParseInt(p.peek(), 10, 64)
	if err != nil {
		p.unknown()
	}
	p.next()
	return n
}

func (p *parser) isText() bool { return strings.HasPrefix(p.peek(), "'") && len(p.peek()) > 1 }

// text consumes a text in quotes.
func (p *parser) text() string {
	if !p.isText() {
		p.unknown()
	}
	token := p.next()
	return strings.ReplaceAll(token[1:len(token)-1], "''", "'")
}

// list parses elements that commas separate.
func (p *parser) list(element func()) {
	for element(); p.take(","); {
		element()
	}
}

// skipParentheses consumes everything up to the parenthesis that closes an open one.
func (p *parser) skipParentheses() {
	for depth := 1; depth > 0; {
		switch p.next() {
		case "(":
			depth++
		case ")":
			depth--
		case "":
			p.unknown("a parenthesis without its end")
		}
	}
}
