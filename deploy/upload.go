package main

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/echo-in-snowflake/echo-in-snowflake/adapters/terminal"
	"github.com/echo-in-snowflake/echo-in-snowflake/domain"
)

// imageTag returns the tag that names the image with digest and never another one. A specification names an
// image by a tag: no page of Snowflake says that it may name a digest. Tags that begin with "sha256-" are
// signatures to OCI tools.
func imageTag(digest string) string { return "image-" + strings.TrimPrefix(digest, "sha256:") }

// find returns an error unless the repository has the image of --digest, under its imageTag.
func (d *deployment) find(ctx context.Context) error {
	images, err := d.ask(ctx, deployer, d.sql("SHOW IMAGES IN IMAGE REPOSITORY echo_db.echo_schema.echo_repo"))
	if err != nil || d.dryRun {
		return err
	}
	tag := imageTag(d.digest)
	if !slices.ContainsFunc(images, func(r row) bool { return strings.Contains(r["tags"]+r["image_path"], tag) }) {
		return errors.New(d.rename("echo_repo has no image with the tag " + tag + ": see deploy/README.md"))
	}
	return nil
}

// build builds the image, pushes it and returns its digest.
func (d *deployment) build(ctx context.Context) (digest string, err error) {
	found, err := d.ask(ctx, deployer, d.sql("SHOW IMAGE REPOSITORIES LIKE 'echo_repo' IN SCHEMA echo_db.echo_schema"))
	if err != nil {
		return "", err
	}
	if d.dryRun {
		d.say("-- here docker builds and pushes the image")
		return "sha256:" + strings.Repeat("0", 64), nil
	}
	repository := named(found, d.rename("echo_repo"))["repository_url"]
	if repository == "" {
		return "", errors.New(d.rename(
			"there is no image repository echo_repo in echo_db.echo_schema: run setup.sql first"))
	}
	version, err := d.output(ctx, "git", "describe", "--tags", "--always", "--dirty")
	if err != nil {
		return "", err
	}
	commit, err := d.output(ctx, "git", "rev-parse", "HEAD")
	if err != nil {
		return "", err
	}
	name := repository + "/echo-in-snowflake"
	image := name + ":" + version
	if err := d.docker(ctx, "build", "--platform", "linux/amd64",
		"--build-arg", "VERSION="+version, "--build-arg", "REVISION="+commit, "-t", image, "."); err != nil {
		return "", err
	}
	if err := d.snow(ctx, "", d.stderr, deployer, "spcs", "image-registry", "login"); err != nil {
		return "", err
	}
	return d.push(ctx, name, image)
}

// push pushes image, also under its imageTag, and returns its digest.
func (d *deployment) push(ctx context.Context, name, image string) (digest string, err error) {
	if err := d.docker(ctx, "push", image); err != nil {
		return "", err
	}
	pushed, err := d.output(ctx, "docker", "image", "inspect",
		"--format", "{{range .RepoDigests}}{{println .}}{{end}}", image)
	if err != nil {
		return "", err
	}
	for reference := range strings.FieldsSeq(pushed) {
		digest, found := strings.CutPrefix(reference, name+"@")
		if !found || !isDigest(digest) {
			continue
		}
		tagged := name + ":" + imageTag(digest)
		if err := d.docker(ctx, "tag", image, tagged); err != nil {
			return "", err
		}
		return digest, d.docker(ctx, "push", tagged)
	}
	return "", fmt.Errorf("docker does not say under which digest it pushed %s", image)
}

func (d *deployment) docker(ctx context.Context, args ...string) error {
	return d.execute(ctx, "", d.stderr, "docker", args...)
}

// upload creates the missing secrets and uploads the specification. It returns the version of the
// specification, which is a hash of it and names its folder in the stage. Older versions stay there for
// a rollback.
func (d *deployment) upload(ctx context.Context) (version string, err error) {
	existing, err := d.ask(ctx, deployer, d.sql("SHOW SECRETS IN SCHEMA echo_db.echo_schema"))
	if err != nil {
		return "", err
	}
	if certificate := d.rename("echo_pg_ca"); d.postgres && !d.dryRun && len(named(existing, certificate)) == 0 {
		return "", fmt.Errorf("there is no secret %s: run postgres.sql first", certificate)
	}
	statements, err := d.createSecrets(ctx, existing)
	if err != nil {
		return "", err
	}
	rendered, err := d.renderSpec()
	if err != nil {
		return "", err
	}
	folder, err := os.MkdirTemp("", "echo-deploy-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(folder)
	file := filepath.Join(folder, "spec.yml")
	if err := os.WriteFile(file, rendered, 0o600); err != nil {
		return "", err
	}
	if d.dryRun {
		d.say("-- %s", strings.ReplaceAll(strings.TrimSpace(string(rendered)), "\n", "\n-- "))
	}
	version = fmt.Sprintf("%x", sha256.Sum256(rendered))[:16]
	put := d.sql("PUT 'file://%s' @echo_db.echo_schema.echo_stage/%s AUTO_COMPRESS = FALSE OVERWRITE = TRUE",
		filepath.ToSlash(file), version)
	_, err = d.ask(ctx, deployer, append(statements, put)...)
	return version, err
}

// createSecrets returns the statements that create the missing secrets and let the service read all. Without
// passwords, it does not ask for that of the first superuser, which the service never uses.
func (d *deployment) createSecrets(ctx context.Context, existing []row) (statements []string, err error) {
	document, err := d.specDocument()
	if err != nil {
		return nil, err
	}
	noPasswords := strings.EqualFold(setting(document, "PASSWORD_SIGN_IN", "true"), "false")
	for _, secret := range []string{"echo_jwt", "echo_jwt_previous", "echo_first_password"} {
		if len(named(existing, d.rename(secret))) == 0 {
			value := random(32)
			if d.dryRun {
				value = "…"
			} else if secret == "echo_first_password" && !noPasswords {
				if value, err = d.choosePassword(ctx, document); err != nil {
					return nil, err
				}
			}
			statements = append(statements, d.sql(
				"CREATE SECRET IF NOT EXISTS echo_db.echo_schema."+secret+" TYPE = GENERIC_STRING SECRET_STRING = '%s'",
				strings.NewReplacer(`\`, `\\`, `'`, `''`).Replace(value)))
		}
		statements = append(statements, d.sql("GRANT READ ON SECRET echo_db.echo_schema."+secret+" TO ROLE "+owner))
	}
	return statements, nil
}

// choosePassword returns the first superuser's password. It generates one if the answer is empty.
func (d *deployment) choosePassword(ctx context.Context, document *yaml.Node) (password string, err error) {
	if password = d.getenv("FIRST_SUPERUSER_PASSWORD"); password == "" {
		if password, err = d.readPassword(ctx); err != nil {
			return "", err
		}
	}
	if password == "" {
		password = random(18)
		// Before it is sent: if a later statement is refused, the secret exists, and is never replaced.
		d.say("The password of the first superuser is %s ; it is not shown again.", password)
	}
	// The service would refuse it at its first start, and no later deployment replaces a secret.
	if err := checkPassword(password, document); err != nil {
		return "", fmt.Errorf("the password of the first superuser %w", err)
	}
	return password, nil
}

// checkPassword returns an error if the account that the specification names may not have that password.
func checkPassword(password string, document *yaml.Node) error {
	// The service reports an e-mail that is not valid.
	email, _ := domain.ParseEmail(setting(document, "FIRST_SUPERUSER", defaultSuperuser))
	_, err := domain.ParsePasswordFor(password, email, setting(document, "PROJECT_NAME", defaultName))
	return err
}

// The defaults of the service for keys that spec.yml may leave out.
const (
	defaultSuperuser = "admin@example.com" // FIRST_SUPERUSER
	defaultName      = "Echo in Snowflake" // PROJECT_NAME
)

func (d *deployment) readPassword(ctx context.Context) (string, error) {
	password, err := terminal.ReadSecret(ctx, d.stdin, d.stderr,
		"Password of the first superuser (empty: one is generated): ")
	switch {
	case errors.Is(err, context.Canceled):
		return "", errInterrupted
	case err != nil:
		return "", errNobodyToAsk
	}
	return password, nil
}

func random(bytes int) string {
	b := make([]byte, bytes)
	_, _ = rand.Read(b) // never fails
	return base64.StdEncoding.EncodeToString(b)
}
