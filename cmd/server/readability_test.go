package main

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// Limits that keep product code readable.
const (
	maxFunctionLines = 50
	maxColumns       = 120
	tabColumns       = 4
)

func TestProductCodeHasShortFunctionsAndLines(t *testing.T) {
	err := filepath.WalkDir(moduleRoot, func(path string, entry fs.DirEntry, err error) error {
		switch name := entry.Name(); {
		case err != nil:
			return err
		case entry.IsDir() && path != moduleRoot && (strings.HasPrefix(name, ".") || strings.HasSuffix(name, "test")):
			return filepath.SkipDir
		case entry.IsDir() || !strings.HasSuffix(name, ".go"), strings.HasSuffix(name, "_test.go"), strings.HasSuffix(name, ".gen.go"):
			return nil
		}
		content, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		for i, line := range strings.Split(string(content), "\n") {
			columns := utf8.RuneCountInString(line) + (tabColumns-1)*strings.Count(line, "\t")
			assert.LessOrEqual(t, columns, maxColumns, "columns of %s:%d", path, i+1)
		}
		fset := token.NewFileSet()
		file, err := parser.ParseFile(fset, path, content, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		for _, decl := range file.Decls {
			if f, ok := decl.(*ast.FuncDecl); ok {
				lines := fset.Position(f.End()).Line - fset.Position(f.Pos()).Line + 1
				assert.LessOrEqual(t, lines, maxFunctionLines, "lines of %s in %s", f.Name.Name, path)
			}
		}
		return nil
	})
	require.NoError(t, err)
}
