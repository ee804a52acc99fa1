package config

import (
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
	dotenvFile    = ".env"
	originDefault = "default"
)

// sources knows what every source says. Viper decides which of them counts; the rest is kept to
// tell where a value came from.
type sources struct {
	viper  *viper.Viper
	flags  *pflag.FlagSet
	dotenv map[string]any
	file   map[string]any
	path   string // of the config file
}

func readSources(flags *pflag.FlagSet) (sources, []problem) {
	var problems []problem
	s := sources{viper: viper.New(), flags: flags}
	for _, k := range keys {
		s.viper.SetDefault(k.Name, k.Default)
		s.viper.MustBindEnv(k.Name, k.Name)
		if f := s.flag(k); f != nil {
			_ = s.viper.BindPFlag(k.Name, f) // fails for a nil flag only
		}
	}

	var err error
	if s.dotenv, err = readDotenv(); err != nil {
		problems = append(problems, problem{dotenvFile, "", err})
	}
	// Twice: .env may name the config file, whose values it then overrides.
	_ = s.viper.MergeConfigMap(s.dotenv)
	if s.path = s.viper.GetString(configFile); s.path != "" {
		var more []problem
		s.file, more = readConfigFile(s.path)
		problems = append(problems, more...)
		_ = s.viper.MergeConfigMap(s.file)
		_ = s.viper.MergeConfigMap(s.dotenv)
	}
	return s, problems
}

// readDotenv returns the keys that .env in the working directory sets, by their names in lower
// case; others are not ours to judge. Without the file there are none.
func readDotenv() (map[string]any, error) {
	values := map[string]any{}
	content, err := os.ReadFile(dotenvFile)
	if errors.Is(err, fs.ErrNotExist) {
		return values, nil
	}
	if err != nil {
		return values, fmt.Errorf("%w: make it readable, or remove it", err)
	}
	parsed, err := godotenv.UnmarshalBytes(content)
	if err != nil { // its text quotes the file, secrets and all
		return values, errors.New("cannot be parsed: write one KEY=value per line, with values in single quotes if they hold spaces, #, $ or quotes")
	}
	for _, k := range keys {
		if value := parsed[k.Name]; value != "" {
			values[strings.ToLower(k.Name)] = value
		}
	}
	return values, nil
}

var yamlLine = regexp.MustCompile(`line \d+`)

// readConfigFile returns the keys that the file sets, by their names in lower case.
func readConfigFile(path string) (map[string]any, []problem) {
	file := viper.New()
	file.SetConfigFile(path)
	file.SetConfigType("yaml")
	if err := file.ReadInConfig(); err != nil {
		var parse viper.ConfigParseError
		if errors.As(err, &parse) { // its text quotes the file, secrets and all
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
		case !slices.ContainsFunc(keys, func(k Key) bool { return strings.EqualFold(k.Name, name) }):
			problems = append(problems, problem{name, "", fmt.Errorf("is not a key: remove it from %s, or correct its spelling", path)})
		case strings.EqualFold(name, configFile):
			problems = append(problems, problem{name, "", fmt.Errorf("makes no sense inside %s: remove it", path)})
		case value != nil && value != "":
			values[name] = value
		}
	}
	return values, problems
}

// flag returns the key's flag if it was given.
func (s sources) flag(k Key) *pflag.Flag {
	if s.flags == nil || k.Secret {
		return nil
	}
	if f := s.flags.Lookup(k.Flag()); f != nil && f.Changed && f.Value.String() != "" {
		return f
	}
	return nil
}

// value returns what counts for k, and its origin, also with an error.
func (s sources) value(k Key) (value, origin string, err error) {
	origin = s.origin(k)
	value, err = asText(k, s.viper.Get(k.Name))
	if err != nil || !k.Secret {
		return value, origin, err
	}

	path := s.viper.GetString(fileKey(k.Name))
	if path == "" {
		return value, origin, nil
	}
	if origin != originDefault {
		return "", origin, fmt.Errorf("is set as well as %s (%s): keep one of them",
			fileKey(k.Name), s.origin(Key{Name: fileKey(k.Name)}))
	}
	content, err := os.ReadFile(path)
	if err != nil {
		return "", fileKey(k.Name), fmt.Errorf("%w: name a file that can be read", err)
	}
	value, windows := strings.CutSuffix(string(content), "\r\n")
	if !windows {
		value = strings.TrimSuffix(value, "\n")
	}
	if value == "" {
		return "", fileKey(k.Name), fmt.Errorf("%s is empty: put the secret into it", path)
	}
	return value, "file " + path, nil
}

func (s sources) origin(k Key) string {
	name := strings.ToLower(k.Name)
	switch {
	case s.flag(k) != nil:
		return "flag --" + k.Flag()
	case os.Getenv(k.Name) != "":
		return "environment"
	case s.dotenv[name] != nil:
		return dotenvFile
	case s.file[name] != nil:
		return "file " + s.path
	}
	return originDefault
}

// asText turns what YAML made of a value back into text. Secrets are text from the start: YAML
// reads 0123 as the number 83.
func asText(k Key, value any) (string, error) {
	switch value := value.(type) {
	case string:
		return value, nil
	case int:
		if !k.Secret {
			return strconv.Itoa(value), nil
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
			return "", errors.New("is a list with something else than texts: put each in quotes")
		}
		texts[i] = s
	}
	return strings.Join(texts, ","), nil
}
