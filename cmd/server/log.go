package main

import (
	"io"
	"os"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/echo-in-snowflake/echo-in-snowflake/adapters/logbuffer"
	"github.com/echo-in-snowflake/echo-in-snowflake/config"
)

// loggers are the loggers of a process.
type loggers struct {
	ordinary *zap.Logger
	// essential is for lines that a promise or a procedure depends on: audit events, and what became of new
	// signing keys. LOG_LEVEL does not apply to them, and a flood of ordinary lines does not replace them.
	essential *zap.Logger
}

// newLoggers returns loggers that write JSON lines to out, or readable text if LOG_FORMAT says so or out is a
// terminal. Snowflake copies the JSON into the columns of an event table (Snowflake documentation,
// "Monitoring services"). It drops any other key at the top of a line. The caller closes the buffer.
func newLoggers(cfg config.Config, out io.Writer) (loggers, *logbuffer.Buffer) {
	level, err := zapcore.ParseLevel(cfg.LogLevel)
	if err != nil {
		level = zapcore.InfoLevel
	}
	encoding := zap.NewProductionEncoderConfig()
	encoding.EncodeLevel = zapcore.CapitalLevelEncoder
	encoding.EncodeDuration = zapcore.StringDurationEncoder
	var encoder zapcore.Encoder
	if cfg.LogFormat == "text" || cfg.LogFormat == "auto" && isTerminal(out) {
		encoding.EncodeTime = zapcore.TimeEncoderOfLayout("15:04:05.000")
		encoder = zapcore.NewConsoleEncoder(encoding)
	} else {
		encoding.EncodeTime = zapcore.RFC3339NanoTimeEncoder
		encoding.TimeKey, encoding.LevelKey, encoding.MessageKey = "timestamp", "severity_text", "body"
		encoding.NameKey = ""
		encoder = zapcore.NewJSONEncoder(encoding)
		encoder.OpenNamespace("attributes")
	}
	lines := logbuffer.New(out)
	return loggers{
		ordinary:  zap.New(lines.Ordinary.Core(encoder, level)),
		essential: zap.New(lines.Essential.Core(encoder, zapcore.InfoLevel)),
	}, lines
}

// closeLog writes the last lines, but does not wait long for a reader that has stalled.
func closeLog(lines *logbuffer.Buffer) { _ = lines.Close(time.Second) }

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}
