package terminal

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// openTerminal returns both ends of a new terminal: the person's and the program's.
func openTerminal(t *testing.T) (person, program *os.File) {
	t.Helper()
	person, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	require.NoError(t, err)
	t.Cleanup(func() { person.Close() })
	require.NoError(t, unix.IoctlSetPointerInt(int(person.Fd()), unix.TIOCSPTLCK, 0))
	number, err := unix.IoctlGetInt(int(person.Fd()), unix.TIOCGPTN)
	require.NoError(t, err)
	program, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|unix.O_NOCTTY, 0)
	require.NoError(t, err)
	t.Cleanup(func() { program.Close() })
	return person, program
}

func shows(t *testing.T, terminal *os.File) bool {
	t.Helper()
	state, err := unix.IoctlGetTermios(int(terminal.Fd()), unix.TCGETS)
	require.NoError(t, err)
	return state.Lflag&unix.ECHO != 0
}

func TestATerminalDoesNotShowTheAnswer(t *testing.T) {
	person, program := openTerminal(t)
	type result struct {
		line string
		err  error
	}
	done := make(chan result, 1)
	go func() {
		line, err := ReadSecret(t.Context(), program, program, "Password: ")
		done <- result{line, err}
	}()
	shown := bufio.NewReader(person)
	question := make([]byte, len("Password: "))
	_, err := shown.Read(question)
	require.NoError(t, err)
	assert.Equal(t, "Password: ", string(question))
	assert.False(t, shows(t, program), "from the question on")
	_, err = person.WriteString("typed\n")
	require.NoError(t, err)
	assert.Equal(t, result{"typed", nil}, <-done)
	assert.True(t, shows(t, program))
	rest, err := shown.ReadString('\n')
	require.NoError(t, err)
	assert.Equal(t, "\r\n", rest)
}

func TestAQuestionThatEndsLeavesTheTerminalAsItWas(t *testing.T) {
	person, program := openTerminal(t)
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		_, _ = person.Read(make([]byte, 10)) // the question
		cancel()
	}()
	_, err := ReadSecret(ctx, program, program, "Password: ")
	assert.ErrorIs(t, err, context.Canceled)
	assert.True(t, shows(t, program))
}

func TestAPersonCanCorrectOrInterruptTheAnswer(t *testing.T) {
	for typed, want := range map[string]string{"tipo\x7f\x7fyped\r": "tiyped", "secret\x03": ""} {
		person, program := openTerminal(t)
		go func() {
			_, _ = person.Read(make([]byte, 10)) // the question
			_, _ = person.WriteString(typed)
		}()
		got, err := ReadSecret(t.Context(), program, program, "Password: ")
		assert.Equal(t, want, got)
		assert.Equal(t, want == "", errors.Is(err, context.Canceled))
		assert.True(t, shows(t, program))
	}
}
