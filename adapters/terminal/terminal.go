// Package terminal asks a person, or a program in a pipe, for a secret.
package terminal

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/term"
)

// ReadSecret returns one line of in without its line break. The end of in ends the line too. If in is a
// terminal, ReadSecret writes the question to out, and the terminal does not show the answer.
// Errors: io.EOF if in has no line, and the error of ctx if it ends first; then the terminal is as before.
func ReadSecret(ctx context.Context, in io.Reader, out io.Writer, question string) (string, error) {
	read := func() (string, error) {
		line, err := bufio.NewReader(in).ReadString('\n')
		if line != "" && err == io.EOF {
			err = nil
		}
		return strings.TrimRight(line, "\r\n"), err
	}
	if file, ok := in.(*os.File); ok && term.IsTerminal(int(file.Fd())) {
		defer fmt.Fprintln(out)
		state, err := term.MakeRaw(int(file.Fd())) // shows nothing, even if the answer comes before ReadPassword
		if err != nil {
			return "", err
		}
		defer func() { _ = term.Restore(int(file.Fd()), state) }() // ReadPassword may still be running
		fmt.Fprint(out, question)
		read = func() (string, error) {
			line, err := term.ReadPassword(int(file.Fd()))
			return string(line), err
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
