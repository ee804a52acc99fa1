package engine

import (
	"fmt"
	"path"
	"regexp"
	"runtime"
	"strings"
)

// Unknown is the error for SQL that the engine does not execute. Snowflake may well execute it.
type Unknown struct {
	Construct string // what is unknown, for example: "GROUP" after "FROM t"
	File      string // the file with the function that would have to learn it, for example engine/parse.go
	Function  string // that function, for example parser.query
}

func (u *Unknown) Error() string {
	return fmt.Sprintf("the engine does not know %s; run this test on the emulator, or teach it in %s, %s",
		u.Construct, u.File, u.Function)
}

// tokensFile holds the functions that read single tokens for every part of the grammar. None of them
// is the place to teach a construct.
const tokensFile = "tokens.go"

var closure = regexp.MustCompile(`\.func\d.*`)

// NewUnknown returns the error for a construct that the calling function does not handle. Callers in
// tokens.go stand for their own caller.
func NewUnknown(construct string) *Unknown {
	const skip, most = 2, 16
	callers := make([]uintptr, most)
	frames := runtime.CallersFrames(callers[:runtime.Callers(skip, callers)])
	frame, more := frames.Next()
	for more && path.Base(frame.File) == tokensFile {
		frame, more = frames.Next()
	}
	_, function, _ := strings.Cut(path.Base(frame.Function), ".")
	function = strings.NewReplacer("(*", "", ")", "").Replace(closure.ReplaceAllString(function, ""))
	return &Unknown{
		Construct: construct,
		File:      path.Join(path.Base(path.Dir(frame.File)), path.Base(frame.File)),
		Function:  function,
	}
}
