package logbuffer

import (
	"encoding/json"
	"errors"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// reader is what the lines are written to.
type reader struct {
	mu      sync.Mutex
	writes  []string
	stalled chan struct{} // writes wait until it is closed; nil: they never wait
	err     error
}

func stalledReader() *reader { return &reader{stalled: make(chan struct{})} }

func (r *reader) Write(p []byte) (int, error) {
	if r.stalled != nil {
		<-r.stalled
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.err != nil {
		return 0, r.err
	}
	r.writes = append(r.writes, string(p))
	return len(p), nil
}

type line struct {
	Message string `json:"m"`
	Dropped int    `json:"dropped_lines"`
	Number  int
}

func (r *reader) lines(t *testing.T) (lines []line) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for text := range strings.Lines(strings.Join(r.writes, "")) {
		var l line
		require.NoError(t, json.Unmarshal([]byte(text), &l), text)
		lines = append(lines, l)
	}
	return lines
}

func loggerOn(lane *Lane) *zap.Logger {
	return zap.New(lane.Core(zapcore.NewJSONEncoder(zapcore.EncoderConfig{MessageKey: "m"}), zapcore.InfoLevel))
}

func TestLinesAreWrittenSoonAndTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var r reader
		b := New(&r)
		log := loggerOn(b.Ordinary)
		log.Debug("hidden")
		for n := range 100 {
			log.Info("line", zap.Int("Number", n))
		}
		assert.Empty(t, r.lines(t))
		time.Sleep(delay)
		synctest.Wait()
		lines := r.lines(t)
		require.Len(t, lines, 100)
		for n, l := range lines {
			assert.Equal(t, line{Message: "line", Number: n}, l)
		}
		assert.Len(t, r.writes, 1)
		require.NoError(t, b.Close(time.Minute))
	})
}

func TestAWriteHasWholeLinesAndALimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var r reader
		b := New(&r)
		for range 1000 {
			loggerOn(b.Ordinary).Info(strings.Repeat("x", 1000))
		}
		require.NoError(t, b.Close(time.Minute))
		assert.Greater(t, len(r.writes), 10)
		for _, write := range r.writes {
			assert.LessOrEqual(t, len(write), maxWrite+1100)
			assert.Equal(t, byte('\n'), write[len(write)-1])
		}
		assert.Len(t, r.lines(t), 1000)
	})
}

func TestNobodyWaitsForAReaderThatStalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := stalledReader()
		b := New(r)
		ordinary, essential := loggerOn(b.Ordinary), loggerOn(b.Essential)
		ordinary.Info("being written")
		time.Sleep(delay)
		synctest.Wait()
		begin := time.Now()
		for range Capacity + 7 {
			ordinary.Info("ordinary")
		}
		for range Capacity {
			essential.Info("essential")
		}
		assert.Zero(t, time.Since(begin))
		assert.EqualValues(t, 7, b.Dropped())

		close(r.stalled)
		time.Sleep(delay)
		synctest.Wait()
		ordinary.Info("after")
		ordinary.Info("last")
		require.NoError(t, b.Close(time.Minute))
		lines := r.lines(t)
		require.Len(t, lines, 1+2*Capacity+2)
		assert.Equal(t, "being written", lines[0].Message)
		for _, l := range lines[1:][:Capacity] {
			require.Equal(t, line{Message: "essential"}, l, "essential lines are written first")
		}
		for _, l := range lines[1+Capacity:][:Capacity] {
			require.Equal(t, line{Message: "ordinary"}, l)
		}
		assert.Equal(t, []line{{Message: "after", Dropped: 7}, {Message: "last"}}, lines[1+2*Capacity:],
			"the first line that fits tells how many did not")
		assert.EqualValues(t, 7, b.Dropped())
	})
}

func TestEssentialLinesWaitForOneWriteOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := stalledReader()
		b := New(r)
		for range 1000 {
			loggerOn(b.Ordinary).Info(strings.Repeat("x", 1000))
		}
		time.Sleep(delay)
		synctest.Wait() // the first write hangs
		loggerOn(b.Essential).Info("essential")
		close(r.stalled)
		require.NoError(t, b.Close(time.Minute))
		require.Greater(t, len(r.writes), 10)
		assert.Contains(t, r.writes[1], "essential")
	})
}

func TestCloseIsBounded(t *testing.T) {
	t.Cleanup(func() { goleak.VerifyNone(t) })
	synctest.Test(t, func(t *testing.T) {
		r := stalledReader()
		b := New(r)
		loggerOn(b.Essential).Info("lost")
		begin := time.Now()
		require.ErrorContains(t, b.Close(time.Second), "stalled")
		assert.Equal(t, time.Second, time.Since(begin))
		close(r.stalled) // or its goroutine would stay
	})
}

func TestLinesWhoseWriteFailedAreCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := reader{err: errors.New("no space left")}
		b := New(&r)
		log := loggerOn(b.Essential)
		log.Info("lost")
		log.Info("lost")
		time.Sleep(delay)
		synctest.Wait()
		assert.EqualValues(t, 2, b.Dropped())
		r.err = nil
		log.Info("after")
		require.NoError(t, b.Close(time.Minute))
		assert.Equal(t, []line{{Message: "after", Dropped: 2}}, r.lines(t))
	})
}

func TestLinesOfManyGoroutinesAreWrittenOnce(t *testing.T) {
	var r reader
	b := New(&r)
	var writers sync.WaitGroup
	for n := range 8 {
		log := loggerOn(b.Ordinary)
		if n%2 == 0 {
			log = loggerOn(b.Essential)
		}
		log = log.With(zap.Int("Number", n))
		writers.Go(func() {
			for i := range 500 {
				log.Info(strconv.Itoa(i))
			}
		})
	}
	writers.Wait()
	require.NoError(t, b.Close(time.Minute))
	seen := map[line]int{}
	for _, l := range r.lines(t) {
		seen[l]++
	}
	assert.Len(t, seen, 8*500)
	assert.Zero(t, b.Dropped())
}

func TestDroppedLinesAreToldOnceEvenIfTheLineThatTellsIsDropped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := stalledReader()
		b := New(r)
		log := loggerOn(b.Ordinary)
		log.Info("being written")
		time.Sleep(delay)
		synctest.Wait()
		for range Capacity + 3 {
			log.Info("waiting")
		}
		close(r.stalled)
		time.Sleep(delay)
		synctest.Wait()
		log.Info("after")
		require.NoError(t, b.Close(time.Minute))
		var told int
		for _, l := range r.lines(t) {
			told += l.Dropped
		}
		assert.Equal(t, 3, told)
	})
}
