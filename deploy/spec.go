package main

import (
	"bytes"
	_ "embed"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

//go:embed spec.yml
var spec string

//go:embed postgres.yml
var postgresSpec string

var (
	isPlain  = regexp.MustCompile(`^[A-Za-z0-9@.,:/ _+-]*$`).MatchString
	isOrigin = regexp.MustCompile(`^[][A-Za-z0-9.:/-]*$`).MatchString
)

// renderSpec returns spec.yml for this environment and image. Order and comments stay as they are.
func (d *deployment) renderSpec() ([]byte, error) {
	document, err := d.specDocument()
	if err != nil {
		return nil, err
	}
	env := find(document, "spec", "containers", "env")
	endpoints := find(document, "spec", "endpoints")
	origins := find(document, "spec", "endpoints", "corsSettings", "Access-Control-Allow-Origin")
	if origins == nil {
		return nil, errors.New("spec.yml lacks corsSettings")
	}
	origins.Content = nil
	for _, value := range strings.Fields(strings.ReplaceAll(d.getenv("ECHO_CORS_ORIGINS"), ",", " ")) {
		if !isOrigin(value) {
			return nil, errors.New("ECHO_CORS_ORIGINS has characters that no origin has")
		}
		origins.Content = append(origins.Content, quoted(value))
	}
	if len(origins.Content) == 0 {
		remove(endpoints.Content[0], "corsSettings")
		remove(env, "CORS_ORIGINS")
	}
	asCaller := find(document, "capabilities", "securityContext", "executeAsCaller")
	if asCaller == nil {
		return nil, errors.New("spec.yml lacks executeAsCaller")
	}
	// Otherwise the container must not get tokens that it does not need.
	asCaller.Value = strconv.FormatBool(!strings.EqualFold(setting(document, "SNOWFLAKE_SIGN_IN", "off"), "off"))
	return encode(document)
}

// setting returns the value of a key of the service, or otherwise if the specification leaves it out.
func setting(document *yaml.Node, key, otherwise string) string {
	if node := find(document, "spec", "containers", "env", key); node != nil && node.Value != "" {
		return node.Value
	}
	return otherwise
}

// specDocument returns spec.yml with the image, the store and the values of this environment.
func (d *deployment) specDocument() (*yaml.Node, error) {
	document, err := d.parse("spec.yml", spec)
	if err != nil {
		return nil, err
	}
	image := find(document, "spec", "containers", "image")
	env := find(document, "spec", "containers", "env")
	secrets := find(document, "spec", "containers", "secrets")
	if image == nil || env == nil || secrets == nil {
		return nil, errors.New("spec.yml lacks the image, env or secrets")
	}
	image.Value = d.rename("/echo_db/echo_schema/echo_repo/echo-in-snowflake:") + imageTag(d.digest)
	if d.postgres {
		added, err := d.parse("postgres.yml", postgresSpec)
		if err != nil {
			return nil, err
		}
		env.Content = append(env.Content, find(added, "env").Content...)
		secrets.Content = append(secrets.Content, find(added, "secrets").Content...)
	}
	for i := 0; i < len(env.Content); i += 2 {
		name := "ECHO_" + env.Content[i].Value
		value := d.getenv(name)
		if !isPlain(value) {
			return nil, fmt.Errorf("%s has characters that cannot stand in spec.yml", name)
		}
		if value != "" {
			env.Content[i+1] = quoted(value)
		}
	}
	return document, nil
}

// renderJob returns the specification of a job with the image and the store of the service. It signs in as
// echo_migrator instead of echo_app, with the secret of that password if postgres.yml has one.
func (d *deployment) renderJob(command string) (string, error) {
	document, err := d.specDocument()
	if err != nil {
		return "", err
	}
	added, err := d.parse("postgres.yml", postgresSpec)
	if err != nil {
		return "", err
	}
	values := map[string]string{}
	env := find(document, "spec", "containers", "env").Content
	for i := 0; i < len(env); i += 2 {
		if key := env[i].Value; key == "STORAGE" || strings.HasPrefix(key, "POSTGRES_") {
			values[key] = env[i+1].Value
		}
	}
	values["POSTGRES_USER"] = d.rename("echo_migrator")
	password := strings.NewReplacer(d.rename("echo_app_password"), d.rename("echo_migrator_password"))
	secrets := find(added, "secrets")
	for _, secret := range secrets.Content {
		if name := find(secret, "snowflakeSecret", "objectName"); name != nil {
			name.Value = password.Replace(name.Value)
		}
	}
	job, err := encode(map[string]any{"spec": map[string]any{
		"containers": []any{map[string]any{
			"name": command, "args": []string{command}, "env": values,
			"image": find(document, "spec", "containers", "image"), "secrets": secrets,
			"resources": find(document, "spec", "containers", "resources"), // fits beside two instances
		}},
		"logExporters": find(document, "spec", "logExporters"),
	}})
	return string(job), err
}

func (d *deployment) parse(name, text string) (*yaml.Node, error) {
	var document yaml.Node
	if err := yaml.Unmarshal([]byte(d.rename(text)), &document); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return &document, nil
}

func encode(document any) ([]byte, error) {
	var encoded bytes.Buffer
	encoder := yaml.NewEncoder(&encoded)
	encoder.SetIndent(2)
	encoder.CompactSeqIndent() // as in spec.yml
	err := encoder.Encode(document)
	return encoded.Bytes(), err
}

// find follows keys from node, and takes the first element of a list. It returns nil if a key is missing.
func find(node *yaml.Node, keys ...string) *yaml.Node {
	switch {
	case len(keys) == 0:
		return node
	case node.Kind != yaml.MappingNode && len(node.Content) > 0:
		return find(node.Content[0], keys...)
	}
	for i := 0; i < len(node.Content); i += 2 {
		if node.Content[i].Value == keys[0] {
			return find(node.Content[i+1], keys[1:]...)
		}
	}
	return nil
}

// remove removes a key that the mapping has, and its value.
func remove(mapping *yaml.Node, key string) {
	i := slices.IndexFunc(mapping.Content, func(n *yaml.Node) bool { return n.Value == key })
	mapping.Content = slices.Delete(mapping.Content, i, i+2)
}

func quoted(value string) *yaml.Node {
	return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: value, Style: yaml.DoubleQuotedStyle}
}
