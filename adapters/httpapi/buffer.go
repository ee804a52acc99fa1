package httpapi

import (
	"compress/gzip"
	"fmt"
	"iter"
	"net/http"
	"runtime"
	"strconv"
	"sync"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/echo-in-snowflake/echo-in-snowflake/domain"
)

const (
	// maxReplies is the memory of all replies that wait for their clients. A container of 512 MiB has room for
	// it beside the hashing of passwords and the store.
	maxReplies = 64 << 20
	// pieceSize is the unit in which replies take memory and are sent.
	pieceSize = 32 << 10
	// compressible is the size from which a reply is worth compressing.
	compressible = 1 << 10
)

var pieces = sync.Pool{New: func() any { return new([pieceSize]byte) }}

// buffer is a reply in memory. It is complete before its first byte is sent, so a slow client holds memory
// that is counted, and no connection of the store. Its zero value cannot be used.
type buffer struct {
	quota  *quota
	source string // that the memory is counted for
	pieces [][]byte
	size   int
}

// newBuffer returns an empty buffer for the reply to the request of c. The caller must call free.
func (s *Server) newBuffer(c echo.Context) *buffer {
	return &buffer{quota: s.replies, source: dataOf(c).source}
}

// Write implements [io.Writer]. It returns [domain.ErrBusy] if there is no memory left.
func (b *buffer) Write(p []byte) (int, error) {
	written := len(p)
	b.size += written
	for len(p) > 0 {
		last := len(b.pieces) - 1
		if last < 0 || len(b.pieces[last]) == pieceSize {
			if !b.quota.take(b.source, pieceSize) {
				return 0, domain.ErrBusy
			}
			b.pieces = append(b.pieces, pieces.Get().(*[pieceSize]byte)[:0])
			last++
		}
		n := min(len(p), pieceSize-len(b.pieces[last]))
		b.pieces[last] = append(b.pieces[last], p[:n]...)
		p = p[n:]
	}
	return written, nil
}

// drain returns the pieces of b and frees each one after its use.
func (b *buffer) drain() iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		for len(b.pieces) > 0 && yield(b.pieces[0]) {
			b.freeFirst()
		}
	}
}

func (b *buffer) freeFirst() {
	pieces.Put((*[pieceSize]byte)(b.pieces[0][:pieceSize]))
	b.pieces = b.pieces[1:]
	b.quota.refund(b.source, pieceSize)
}

// free gives the memory back.
func (b *buffer) free() {
	for len(b.pieces) > 0 {
		b.freeFirst()
	}
}

// compressors are idle gzip writers. Each takes almost a megabyte, so there are only as many as can run.
// They write to memory, so the wait for one is short.
var compressors = sync.OnceValue(func() chan *gzip.Writer {
	n := runtime.GOMAXPROCS(0)
	idle := make(chan *gzip.Writer, n)
	for range n {
		w, _ := gzip.NewWriterLevel(nil, gzip.BestSpeed) // the level is valid
		idle <- w
	}
	return idle
})

// compress replaces the content of b by its compressed form.
func (b *buffer) compress() error {
	small := &buffer{quota: b.quota, source: b.source}
	w := <-compressors()
	defer func() { compressors() <- w }()
	w.Reset(small)
	var err error
	for piece := range b.drain() {
		if _, err = w.Write(piece); err != nil {
			break
		}
	}
	if err == nil {
		err = w.Close()
	}
	b.free()
	*b = *small
	return err
}

// send sends b and frees it.
func (b *buffer) send(c echo.Context, status int, mediaType string) error {
	return sendBody(c, status, mediaType, b.size, b.drain())
}

// Time to send a reply. A client gets writeSlack for the first bytes, and then must read 64 KiB a second. So the
// largest page can hold its memory for little more than two minutes.
const (
	writeSlack = 10 * time.Second
	pieceTime  = time.Second * pieceSize / (64 << 10)
)

// cutError says that a reply has ended early.
type cutError struct {
	sent, size int // bytes
	cause      error
}

func (e *cutError) Error() string {
	return fmt.Sprintf("the reply was cut after %d of %d bytes: %v", e.sent, e.size, e.cause)
}

// sendBody sends a reply of size bytes. To a HEAD request it sends the headers only. It returns a *cutError if the
// client closes the connection or reads too slowly.
func sendBody(c echo.Context, status int, mediaType string, size int, content iter.Seq[[]byte]) error {
	w := c.Response()
	w.Header().Set(echo.HeaderContentType, mediaType)
	w.Header().Set(echo.HeaderContentLength, strconv.Itoa(size))
	w.WriteHeader(status)
	if c.Request().Method == http.MethodHead {
		return nil
	}
	connection := http.NewResponseController(w)
	deadline := time.Now().Add(writeSlack)
	sent := 0
	for piece := range content {
		if size > pieceSize { // net/http's deadline is enough for one piece
			// Only the response writer of a test returns an error here.
			_ = connection.SetWriteDeadline(deadline)
			deadline = deadline.Add(pieceTime)
		}
		n, err := w.Write(piece)
		if sent += n; err != nil {
			return &cutError{sent, size, err}
		}
	}
	return nil
}
