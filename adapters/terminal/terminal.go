// Package terminal asks a person, or a program in a pipe, for a secret.
package terminal

import (
	"bufio"
	"context"
	"io"
	"os"
	"strings"

	"golang.org/x/term"
)

// ReadSecret returns one line of in without its line break. The end of in ends the line too. If in is a
// terminal, ReadSecret writes the question to out, and the terminal does not show the answer.
// Errors: io.EOF if in has no line; the error of ctx if it ends first, or context.Canceled after Ctrl-C. Then the
// terminal is as before.
func ReadSecret(ctx context.Context, in io.Reader, out io.Writer, question string) (string, error) {
	read := func() (string, error) {
		line, err := bufio.NewReader(in).ReadString('\n')
		if line != "" && err == io.EOF {
			err = nil
		}
		return strings.TrimRight(line, "\r\n"), err
	}
	if file, ok := in.(*os.File); ok && term.IsTerminal(int(file.Fd())) {
		state, err := term.MakeRaw(int(file.Fd())) // shows nothing, and sends Ctrl-C as a character
		if err != nil {
			return "", err
		}
		defer func() { _ = term.Restore(int(file.Fd()), state) }()
		read = func() (string, error) {
			line, err := term.NewTerminal(terminal{file, out}, "").ReadPassword(question)
			if err == io.EOF {
				err = context.Canceled
			}
			return line, err
		}
	}
	type result struct {
		line string
		err  error
	}
	done := make(chan result, 1)
	go func() {
		line, err := read()
		done <- result{line, err}
	}()
	select {
	case <-ctx.Done():
		return "", ctx.Err()
	case r := <-done:
		return r.line, r.err
	}
}

// terminal is what a person types, and where the person sees questions.
type terminal struct {
	io.Reader
	io.Writer
}
