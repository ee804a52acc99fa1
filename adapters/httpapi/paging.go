package httpapi

import (
	"encoding/base64"
	"encoding/binary"
	"hash/crc32"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/echo-in-snowflake/echo-in-snowflake/domain"
)

const defaultLimit = 100

// listParams are the parameters of every list. Their tags equal the generated ones, so that the generated
// types convert to it.
type listParams struct {
	Skip   *Skip   `form:"skip,omitempty" json:"skip,omitempty"`
	Limit  *Limit  `form:"limit,omitempty" json:"limit,omitempty"`
	Cursor *Cursor `form:"cursor,omitempty" json:"cursor,omitempty"`
	Count  *Count  `form:"count,omitempty" json:"count,omitempty"`
}

// The first byte of a cursor names the list that it belongs to.
const (
	userCursor    byte = 'u'
	itemCursor    byte = 'i'
	sessionCursor byte = 's'
	clientCursor  byte = 'c'
)

func pageRequest(list byte, p listParams) (domain.PageRequest, error) {
	page := domain.PageRequest{
		Skip:  valueOr(p.Skip, 0),
		Limit: valueOr(p.Limit, defaultLimit),
		Count: valueOr(p.Count, true),
	}
	if valueOr(p.Cursor, "") == "" {
		return page, nil
	}
	// Generated clients and Swagger UI send defaults: skip=0 says nothing.
	if page.Skip > 0 {
		return page, invalid(FieldError{"query.cursor", "cannot be used together with a skip above 0"})
	}
	after, ok := decodeCursor(list, *p.Cursor)
	if !ok {
		return page, invalid(FieldError{"query.cursor", "is not the next_cursor of a page of this list"})
	}
	page.After = domain.Some(after)
	return page, nil
}

func valueOr[T any](p *T, fallback T) T {
	if p == nil {
		return fallback
	}
	return *p
}

// A cursor is the position of the last row of a page: list, microseconds, id and a checksum. The checksum
// finds mistyped cursors. It protects nothing: a list shows only what the actor may see, from any position.
const (
	cursorBody = 1 + 8 + 16
	cursorSize = cursorBody + crc32.Size
)

var cursorText = base64.RawURLEncoding.Strict()

func encodeCursor(list byte, p domain.Position) string {
	id := uuid.MustParse(p.ID)
	b := append(make([]byte, 0, cursorSize), list)
	b = binary.BigEndian.AppendUint64(b, uint64(p.CreatedAt.UnixMicro()))
	b = append(b, id[:]...)
	b = binary.BigEndian.AppendUint32(b, crc32.ChecksumIEEE(b))
	return cursorText.EncodeToString(b)
}

func decodeCursor(list byte, cursor string) (domain.Position, bool) {
	if strings.ContainsAny(cursor, "\r\n") { // base64 would ignore them
		return domain.Position{}, false
	}
	b, err := cursorText.DecodeString(cursor)
	if err != nil || len(b) != cursorSize || b[0] != list {
		return domain.Position{}, false
	}
	if binary.BigEndian.Uint32(b[cursorBody:]) != crc32.ChecksumIEEE(b[:cursorBody]) {
		return domain.Position{}, false
	}
	at := time.UnixMicro(int64(binary.BigEndian.Uint64(b[1:]))).UTC()
	if at.Year() < 1 || at.Year() > 9999 { // not every store can compare with it
		return domain.Position{}, false
	}
	return domain.Position{CreatedAt: at, ID: uuid.UUID(b[9:cursorBody]).String()}, true
}

// positioned is an entity that lists contain.
type positioned interface{ Position() domain.Position }

// nextCursor returns the cursor of the next page, or nil if page is the last one.
func nextCursor[E positioned](list byte, page domain.Page[E]) *string {
	if !page.More || len(page.Rows) == 0 {
		return nil
	}
	cursor := encodeCursor(list, page.Rows[len(page.Rows)-1].Position())
	return &cursor
}

// total returns the number of all rows, or nil if it was not counted.
func total[E any](page domain.Page[E]) *int {
	n, counted := page.Total.Get()
	if !counted {
		return nil
	}
	return &n
}
