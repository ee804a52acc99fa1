package terminal

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestASecretIsOneLineWithoutItsBreak(t *testing.T) {
	for in, want := range map[string]string{
		"secret\n":       "secret",
		"secret\r\n":     "secret",
		"secret":         "secret",
		" s e \nanother": " s e ",
		"\n":             "",
	} {
		var out strings.Builder
		got, err := ReadSecret(t.Context(), strings.NewReader(in), &out, "Password: ")
		require.NoError(t, err)
		assert.Equal(t, want, got)
		assert.Empty(t, out.String(), "only a terminal is asked")
	}
}

func TestAnInputWithoutALineIsAnError(t *testing.T) {
	_, err := ReadSecret(t.Context(), strings.NewReader(""), io.Discard, "")
	assert.ErrorIs(t, err, io.EOF)
	broken := errors.New("broken")
	r, w := io.Pipe()
	go func() {
		_, _ = w.Write([]byte("half"))
		w.CloseWithError(broken)
	}()
	_, err = ReadSecret(t.Context(), r, io.Discard, "")
	assert.ErrorIs(t, err, broken)
}

func TestAQuestionEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	r, w := io.Pipe() // nobody answers
	defer w.Close()
	_, err := ReadSecret(ctx, r, io.Discard, "")
	assert.ErrorIs(t, err, context.Canceled)
}
