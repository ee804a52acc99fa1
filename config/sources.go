package config

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/joho/godotenv"
	"github.com/spf13/pflag"
	"github.com/spf13/viper"
)

const (
	dotenvFile      = ".env"
	originDefault   = "default"
	originGenerated = "generated"
)

// sources holds what every source sets. lookup decides which source wins.
type sources struct {
	flags   *pflag.FlagSet
	dotenv  map[string]string // by the keys' names
	special map[string]bool   // names whose value in .env is not what the file shows
	file    map[string]any    // by the keys' names in lower case
	path    string            // of the config file; empty: there is none
}

func readSources(flags *pflag.FlagSet) (sources, []problem) {
	s := sources{flags: flags}
	var problems []problem
	var err error
	if s.dotenv, s.special, err = readDotenv(); err != nil {
		problems = append(problems, problem{dotenvFile, "", err})
	}
	// The sources that are read by now may name the config file.
	path, _ := s.lookup(Key{Name: configFile})
	if s.path = path.(string); s.path != "" {
		var more []problem
		s.file, more = readConfigFile(s.path)
		problems = append(problems, more...)
	}
	return s, problems
}

// lookup returns the value of k in the source that wins, and the name of that source.
func (s sources) lookup(k Key) (value any, origin string) {
	if f := s.flag(k); f != nil {
		return f.Value.String(), "flag --" + k.Flag()
	}
	if value := os.Getenv(k.Name); value != "" {
		return value, "environment"
	}
	if value := s.dotenv[k.Name]; value != "" {
		return value, dotenvFile
	}
	if value := s.file[strings.ToLower(k.Name)]; value != nil {
		return value, "file " + s.path
	}
	return k.Default, originDefault
}

// flag returns the flag of k if the command line sets it.
func (s sources) flag(k Key) *pflag.Flag {
	if s.flags == nil || k.Secret {
		return nil
	}
	if f := s.flags.Lookup(k.Flag()); f != nil && f.Changed && f.Value.String() != "" {
		return f
	}
	return nil
}

// value returns the value of k and its origin; the origin is set beside an error, too. A secret
// comes from its file if its file key is set.
func (s sources) value(k Key) (value, origin string, err error) {
	found, origin := s.lookup(k)
	value, err = asText(k, found)
	if err != nil || !k.Secret {
		return value, origin, err
	}

	if origin == dotenvFile && s.special[k.Name] { // an operator must get the secret as written
		return "", origin, errors.New(
			`has $, # or \ where it is no part of the value: put the value in single quotes`)
	}

	path, pathOrigin, err := s.value(Key{Name: fileKey(k.Name)})
	if err != nil || path == "" { // An error is reported for the file key itself.
		return value, origin, nil
	}
	if origin != originDefault {
		return "", origin, fmt.Errorf("is set as well as %s (%s): keep one of them", fileKey(k.Name), pathOrigin)
	}
	value, err = readSecret(path)
	if err != nil {
		return "", fileKey(k.Name), err
	}
	return value, "file " + path, nil
}

// readSecret returns the content of the file without the line break at its end.
func readSecret(path string) (string, error) {
	content, err := os.ReadFile(path)
	if err != nil {
		return "", fmt.Errorf("%w: name a file that can be read", err)
	}
	value, windows := strings.CutSuffix(string(content), "\r\n")
	if !windows {
		value = strings.TrimSuffix(value, "\n")
	}
	if value == "" {
		return "", fmt.Errorf("%s is empty: put the secret into it", path)
	}
	return value, nil
}

// readDotenv returns the variables that .env in the working directory sets, and the names of those whose value is
// not what the file shows; none if there is no such file. It may set variables of other programs.
func readDotenv() (values map[string]string, special map[string]bool, err error) {
	content, err := os.ReadFile(dotenvFile)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil, nil
	}
	if err != nil {
		return nil, nil, fmt.Errorf("%w: make it readable, or remove it", err)
	}
	content = bytes.TrimPrefix(content, []byte("\ufeff")) // editors on Windows write a byte order mark
	values, err = godotenv.UnmarshalBytes(content)
	if err != nil { // The error's own text quotes the file, with its secrets.
		return nil, nil, errors.New("cannot be parsed: write one KEY=value per line, " +
			"with values in single quotes if they hold spaces, #, $ or quotes")
	}
	special = map[string]bool{}
	for _, line := range dotenvLine.FindAllSubmatch(content, -1) {
		special[string(line[1])] = specialValue.Match(line[2])
	}
	return values, special, nil
}

var (
	dotenvLine = regexp.MustCompile(`(?m)^[ \t]*(?:export[ \t]+)?(\w+)[ \t]*[=:][ \t]*(.*)$`)
	// specialValue matches a value in which a character means something else: $ begins a variable and # a comment, and
	// between double quotes \ begins an escape. There, \n is allowed: it is how such a value holds a line break.
	specialValue = regexp.MustCompile(`^(?:[^'"].*)?(?:\$|\s#)|^".*(?:\$|\\[^n])`)
)

var yamlLine = regexp.MustCompile(`line \d+`)

// readConfigFile returns the keys that the file sets, by their names in lower case.
func readConfigFile(path string) (map[string]any, []problem) {
	file := viper.New()
	file.SetConfigFile(path)
	file.SetConfigType("yaml")
	if err := file.ReadInConfig(); err != nil {
		var parse viper.ConfigParseError
		if errors.As(err, &parse) { // The error's own text quotes the file, with its secrets.
			err = fmt.Errorf("%s is not a YAML mapping of keys to values (%s): correct it", path,
				cmp.Or(yamlLine.FindString(err.Error()), "in some line"))
		} else {
			err = fmt.Errorf("%w: name a file that can be read", err)
		}
		return nil, []problem{{configFile, "", err}}
	}

	values := map[string]any{}
	var problems []problem
	names := file.AllKeys()
	slices.Sort(names)
	for _, name := range names {
		value := file.Get(name)
		switch {
		case find(strings.ToUpper(name)) == nil:
			err := fmt.Errorf("is not a key: remove it from %s, or correct its spelling", path)
			problems = append(problems, problem{name, "", err})
		case strings.EqualFold(name, configFile):
			problems = append(problems, problem{name, "", fmt.Errorf("makes no sense inside %s: remove it", path)})
		case value != nil && value != "":
			values[name] = value
		}
	}
	return values, problems
}

// asText turns a value of the YAML file back into text. A secret has to be text in the file: YAML
// reads 0123 as the number 83.
func asText(k Key, value any) (string, error) {
	switch value := value.(type) {
	case string:
		return value, nil
	case int:
		if !k.Secret {
			return strconv.Itoa(value), nil
		}
	case bool:
		if !k.Secret {
			return strconv.FormatBool(value), nil
		}
	case []any:
		if k.list {
			return joinTexts(value)
		}
	}
	return "", errors.New("is not text: put it in quotes")
}

func joinTexts(values []any) (string, error) {
	texts := make([]string, len(values))
	for i, value := range values {
		s, ok := value.(string)
		if !ok {
			return "", errors.New("is a list with an entry that is not text: put each entry in quotes")
		}
		texts[i] = s
	}
	return strings.Join(texts, ","), nil
}
