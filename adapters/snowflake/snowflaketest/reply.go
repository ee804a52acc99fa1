package snowflaketest

import (
	"fmt"
	"strconv"
	"time"

	"github.com/echo-in-snowflake/echo-in-snowflake/adapters/snowflake/snowflaketest/engine"
)

const queryID = "01000000-0000-0000-0000-000000000000"

// statementTypes are those of the driver's connection_util.go.
var statementTypes = map[engine.Kind]int64{
	engine.Other:  0x4000,
	engine.Select: 0x1000,
	engine.Insert: 0x3100,
	engine.Update: 0x3200,
	engine.Delete: 0x3300,
}

// success returns the reply to a statement that succeeded.
func success(r engine.Result) any {
	columns, rows := r.Columns, r.Rows
	switch r.Kind {
	case engine.Insert:
		columns, rows = []string{"number of rows inserted"}, [][]any{{r.Affected}}
	case engine.Update:
		columns = []string{"number of rows updated", "number of multi-joined rows updated"}
		rows = [][]any{{r.Affected, int64(0)}}
	case engine.Delete:
		columns, rows = []string{"number of rows deleted"}, [][]any{{r.Affected}}
	case engine.Other:
		columns, rows = []string{"status"}, [][]any{{"Statement executed successfully."}}
	}
	rowtype := make([]map[string]any, len(columns))
	for i, name := range columns {
		rowtype[i] = columnType(name, i, rows)
	}
	rowset := make([][]*string, len(rows))
	for i, row := range rows {
		rowset[i] = make([]*string, len(row))
		for j, v := range row {
			rowset[i][j] = text(v)
		}
	}
	return map[string]any{"success": true, "data": map[string]any{
		"parameters":        []any{},
		"rowtype":           rowtype,
		"rowset":            rowset,
		"total":             len(rows),
		"returned":          len(rows),
		"queryId":           queryID,
		"queryResultFormat": "json",
		"statementTypeId":   statementTypes[r.Kind],
		"sqlState":          "00000",
	}}
}

// refuse returns the reply to a statement that failed.
func refuse(e *engine.Error) any { return failure(strconv.Itoa(e.Number), e.State, e.Message) }

func failure(code, state, message string) any {
	return map[string]any{"success": false, "code": code, "message": message, "data": map[string]any{
		"sqlState": state, "errorCode": code, "queryId": queryID,
	}}
}

// columnType describes a column of a result. Its type is that of its first value that is not NULL.
func columnType(name string, column int, rows [][]any) map[string]any {
	kind, scale := "text", 0
	for _, row := range rows {
		switch row[column].(type) {
		case nil:
			continue
		case int64:
			kind = "fixed"
		case float64:
			kind = "real"
		case bool:
			kind = "boolean"
		case time.Time:
			kind, scale = "timestamp_ntz", 9
		}
		break
	}
	return map[string]any{
		"name": name, "type": kind, "nullable": true, "precision": 38, "scale": scale, "length": 16777216,
	}
}

// text returns a value as the driver reads it, nil for NULL.
func text(v any) *string {
	var s string
	switch v := v.(type) {
	case nil:
		return nil
	case bool:
		s = "0"
		if v {
			s = "1"
		}
	case time.Time:
		s = fmt.Sprintf("%d.%09d", v.Unix(), v.Nanosecond())
	default:
		s = fmt.Sprint(v)
	}
	return &s
}
