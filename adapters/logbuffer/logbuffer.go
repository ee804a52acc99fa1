// Package logbuffer keeps log lines until a goroutine of its own has written them. So a caller that logs never
// waits for the reader of the log: a pipe whose reader stalls would otherwise stop every request. A busy service
// also needs fewer writes, because one write takes all lines that wait.
package logbuffer

import (
	"bytes"
	"errors"
	"io"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

const (
	// Capacity is the number of lines that wait in each lane. The buffer drops the lines that do not fit.
	Capacity = 4096
	// delay is the time that a line waits for more lines.
	delay = 5 * time.Millisecond
	// maxWrite is the size of one write in bytes, unless a single line is longer.
	maxWrite = 64 << 10
)

// Buffer writes the lines of its two lanes. Essential lines wait for at most one write of ordinary lines.
type Buffer struct {
	Essential, Ordinary *Lane

	out     io.Writer
	wake    chan struct{}
	closing chan struct{}
	done    chan struct{}
	dropped atomic.Int64
}

// New returns a buffer that writes to out until it is closed.
func New(out io.Writer) *Buffer {
	b := &Buffer{out: out, wake: make(chan struct{}, 1), closing: make(chan struct{}), done: make(chan struct{})}
	b.Essential, b.Ordinary = &Lane{buffer: b}, &Lane{buffer: b}
	go b.run()
	return b
}

// Dropped returns the number of lines that were not written, because too many waited or because a write
// failed.
func (b *Buffer) Dropped() int64 { return b.dropped.Load() }

// Close writes the lines that wait. Lines that come later are lost. It returns an error if not all lines are
// written after the given time.
func (b *Buffer) Close(limit time.Duration) error {
	close(b.closing)
	select {
	case <-b.done:
		return nil
	case <-time.After(limit):
		return errors.New("the reader of the log has stalled: the last lines are lost")
	}
}

func (b *Buffer) run() {
	defer close(b.done)
	for closing := false; !closing; {
		select {
		case <-b.closing:
			closing = true
		case <-b.wake:
			select {
			case <-b.closing:
			case <-time.After(delay):
			}
		}
		b.writeWaiting()
	}
}

func (b *Buffer) writeWaiting() {
	ordinary := b.Ordinary.take()
	for {
		b.write(b.Essential, b.Essential.take())
		if len(ordinary) == 0 {
			return
		}
		size := len(ordinary)
		if size > maxWrite {
			size = maxWrite + 1 + bytes.IndexByte(ordinary[maxWrite:], '\n')
		}
		b.write(b.Ordinary, ordinary[:size])
		ordinary = ordinary[size:]
	}
}

func (b *Buffer) write(from *Lane, lines []byte) {
	if len(lines) == 0 {
		return
	}
	if _, err := b.out.Write(lines); err != nil {
		from.drop(int64(bytes.Count(lines, []byte("\n"))))
	}
}

// Lane holds the lines of one kind that wait.
type Lane struct {
	buffer   *Buffer
	untold   atomic.Int64 // dropped lines that no later line has told of
	mu       sync.Mutex   // protects the fields below
	lines    []byte
	count    int
	previous []byte // the lines that the last take returned, for their memory
}

// add adds a line, or returns false if there is no room.
func (l *Lane) add(line []byte) bool {
	l.mu.Lock()
	room := l.count < Capacity
	if room {
		l.lines = append(l.lines, line...)
		l.count++
	}
	l.mu.Unlock()
	if room {
		select {
		case l.buffer.wake <- struct{}{}:
		default: // it will wake up
		}
	}
	return room
}

// take returns the lines that wait. They are valid until the next call.
func (l *Lane) take() []byte {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lines, l.previous, l.count = l.previous[:0], l.lines, 0
	return l.previous
}

func (l *Lane) drop(lines int64) {
	l.untold.Add(lines)
	l.buffer.dropped.Add(lines)
}

// Core returns a core for a logger whose lines go into the lane. After lines were dropped, the next line has
// their number in the field dropped_lines.
func (l *Lane) Core(encoder zapcore.Encoder, level zapcore.LevelEnabler) zapcore.Core {
	return &core{level, encoder, l}
}

type core struct {
	zapcore.LevelEnabler
	encoder zapcore.Encoder
	lane    *Lane
}

// With implements [zapcore.Core].
func (c *core) With(fields []zapcore.Field) zapcore.Core {
	encoder := c.encoder.Clone()
	for _, f := range fields {
		f.AddTo(encoder)
	}
	return &core{c.LevelEnabler, encoder, c.lane}
}

// Check implements [zapcore.Core].
func (c *core) Check(e zapcore.Entry, checked *zapcore.CheckedEntry) *zapcore.CheckedEntry {
	if c.Enabled(e.Level) {
		return checked.AddCore(e, c)
	}
	return checked
}

// Write implements [zapcore.Core]. It never waits. Dropped lines are no error: zap would report each of them
// on standard error, which may have the same reader.
func (c *core) Write(e zapcore.Entry, fields []zapcore.Field) error {
	untold := c.lane.untold.Swap(0)
	if untold > 0 {
		fields = append(slices.Clip(fields), zap.Int64("dropped_lines", untold))
	}
	line, err := c.encoder.EncodeEntry(e, fields)
	if err != nil {
		return err
	}
	defer line.Free()
	if !c.lane.add(line.Bytes()) {
		c.lane.untold.Add(untold)
		c.lane.drop(1)
	}
	return nil
}

// Sync implements [zapcore.Core]. It does nothing, because it would have to wait: see [Buffer.Close].
func (c *core) Sync() error { return nil }
