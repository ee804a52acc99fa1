package platformtest

import (
	"encoding/base64"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// Operator is a person who runs the deploy command.
type Operator struct {
	Platform *Platform
	// Run runs the command. Its environment has the variables; input is what the operator types.
	Run func(variables map[string]string, input string, args ...string) Result
}

// Result is what the command left behind.
type Result struct {
	Out    string   // standard output and error
	Code   int      // exit status
	Docker []string // the calls of docker
}

// PushedDigest is the digest that docker reports after the push to the repository of the platform. The
// stand-in for docker reports another one for another repository.
var PushedDigest = Digest('d')

// DockerAnswer is what the stand-in for docker answers to docker image inspect.
var DockerAnswer = "elsewhere.invalid/x@" + Digest('e') + "\n" +
	"images.invalid/echo_db/echo_schema/echo_repo/echo-in-snowflake@" + PushedDigest + "\n"

// image is the path of the image in a specification, and in the registry after the name of the host.
const image = "/echo_db/echo_schema/echo_repo/echo-in-snowflake"

// tag returns the tag of the image with that digest.
func tag(digest string) string { return strings.Replace(digest, "sha256:", "image-", 1) }

// Digest returns the digest of which every digit is of.
func Digest(of byte) string { return "sha256:" + strings.Repeat(string(of), 64) }

// TestLife tests a first deployment, an upgrade and a rollback, which send every kind of statement.
func TestLife(t *testing.T, open func(*testing.T) Operator) {
	t.Run("a first deployment, an upgrade and a rollback", func(t *testing.T) { testLife(t, open(t)) })
}

// TestDeploy tests the deploy command. It includes TestLife. Each test gets an operator of its own from open.
func TestDeploy(t *testing.T, open func(*testing.T) Operator) {
	TestLife(t, open)
	t.Run("later deployments", func(t *testing.T) { testLater(t, open(t)) })
	testPostgres(t, open)
	t.Run("a first version that does not become ready is reported", func(t *testing.T) {
		const password = `it's a "good" \one\ & <% more %> of echo_db`
		o := open(t)
		o.Platform.Broken = Digest('a')
		failed := o.Run(nil, password+"\n", "--digest", Digest('a'), "--timeout", "0")
		assert.Equal(t, 1, failed.Code)
		assert.Contains(t, failed.Out, "the first version did not become ready, and there is none to go back to")

		assert.Equal(t, `it''s a "good" \\one\\ & <% more %> of echo_db`, o.Platform.Secrets["echo_first_password"],
			"a password is a SQL literal")
		assert.NotContains(t, failed.Out, "good", "the command does not show a password that was typed")
	})
	t.Run("the first deployment is refused if there is nobody to ask for the password", func(t *testing.T) {
		o := open(t)
		refused := o.Run(nil, "", "--digest", Digest('a'))
		assert.Equal(t, 1, refused.Code)
		assert.Contains(t, refused.Out, "set FIRST_SUPERUSER_PASSWORD")
		assert.Nil(t, o.Platform.Service)
	})
	t.Run("the image is built, pushed under a tag with its digest, and deployed by that tag", func(t *testing.T) {
		o := open(t)
		deployed := o.Run(nil, "\n")
		require.Zero(t, deployed.Code, deployed.Out)
		assert.Contains(t, o.Platform.Service.Comment, PushedDigest, "the digest of the repository, not of another one")
		assert.Contains(t, o.Platform.Staged[o.Platform.Service.Path], "image: "+image+":"+tag(PushedDigest)+"\n")
		pushed := "images.invalid" + image
		assert.Regexp(t, `(?s)^build --platform linux/amd64 --build-arg VERSION=\S+ --build-arg REVISION=[0-9a-f]{40} `+
			`-t `+pushed+`:\S+ \.\n.*login.*push `+pushed+`:\S+\n.*`+
			`tag `+pushed+`:\S+ `+pushed+`:`+tag(PushedDigest)+`\n`+`push `+pushed+`:`+tag(PushedDigest),
			strings.Join(deployed.Docker, "\n"))
	})
	t.Run("an image that the repository lacks is refused before anything changes", func(t *testing.T) {
		o := open(t)
		refused := o.Run(nil, "\n", "--digest", Digest('e'))
		assert.Equal(t, 1, refused.Code)
		assert.Contains(t, refused.Out, "deploy: echo_repo has no image with the tag "+tag(Digest('e')))
		assert.Equal(t, []string{"SHOW IMAGES IN IMAGE REPOSITORY echo_db.echo_schema.echo_repo"}, Texts(o.Platform.Take()))
	})
	t.Run("without setup.sql there is no repository to push to", func(t *testing.T) {
		o := open(t)
		o.Platform.HasRepository = false
		refused := o.Run(nil, "\n")
		assert.Equal(t, 1, refused.Code)
		assert.Contains(t, refused.Out, "there is no image repository echo_repo in echo_db.echo_schema: run setup.sql first")
	})
	t.Run("variables alone describe another environment", func(t *testing.T) {
		dry := open(t).Run(map[string]string{
			"ECHO_PREFIX": "staging", "ECHO_MIN_INSTANCES": "3", "ECHO_LOG_LEVEL": "warn",
			"ECHO_CORS_ORIGINS": "https://a.example,https://b.example",
		}, "", "--dry-run", "--digest", Digest('a'))
		require.Zero(t, dry.Code, dry.Out)
		assert.NotContains(t, dry.Out, "echo_")
		for _, part := range []string{
			"image: /staging_db/staging_schema/staging_repo/echo-in-snowflake:" + tag(Digest('a')), "SNOWFLAKE_WAREHOUSE: staging_wh",
			`LOG_LEVEL: "warn"`, `Access-Control-Allow-Origin: ["https://a.example", "https://b.example"]`,
			"MIN_INSTANCES = 3 MAX_INSTANCES = 3 MIN_READY_INSTANCES = 1",
		} {
			assert.Contains(t, dry.Out, part)
		}
	})
	for variable, value := range map[string]string{
		"ECHO_PREFIX": "Echo", "ECHO_MIN_INSTANCES": "none", "ECHO_LOG_LEVEL": "info\"\n", "ECHO_CORS_ORIGINS": "https://a.example|",
		"ECHO_STORAGE": "memory",
	} {
		t.Run("a bad "+variable+" is refused before anything is sent", func(t *testing.T) {
			o := open(t)
			refused := o.Run(map[string]string{variable: value}, "", "--digest", Digest('a'))
			assert.Equal(t, 2, refused.Code)
			assert.Contains(t, refused.Out, "deploy: "+variable)
			assert.Empty(t, o.Platform.Take())
		})
	}
}

// testLife follows a service from nothing through a first deployment, an upgrade and a rollback.
func testLife(t *testing.T, o Operator) {
	dry := o.Run(nil, "", "--dry-run", "--digest", Digest('a'))
	require.Zero(t, dry.Code, dry.Out)
	assert.Empty(t, o.Platform.Take(), "a dry run sends nothing")

	first := o.Run(nil, "\n", "--digest", Digest('a'))
	require.Zero(t, first.Code, first.Out)
	assert.Contains(t, first.Out, "https://abc-org-account.snowflakecomputing.app\n")
	all := o.Platform.Take()
	path := o.Platform.Service.Path

	t.Run("a first deployment sends these statements", func(t *testing.T) { testFirstStatements(t, o.Platform, all) })
	t.Run("a dry run prints all statements", func(t *testing.T) {
		file := regexp.MustCompile(`file://\S+/spec`)
		printed := file.ReplaceAllString(dry.Out, "file")
		for _, text := range Texts(all) {
			if m := createSecret.FindStringSubmatch(text); m != nil {
				text = strings.Replace(text, m[2], "…", 1)
			}
			assert.Contains(t, printed, file.ReplaceAllString(text, "file")+";\n")
		}
	})
	t.Run("the specification names the image", func(t *testing.T) {
		assert.Contains(t, o.Platform.Staged[path], "image: "+image+":"+tag(Digest('a'))+"\n")
		assert.NotContains(t, o.Platform.Staged[path], "corsSettings", "without origins there is nothing to allow")
		assert.NoFileExists(t, o.Platform.Uploaded, "the command removes its files")
	})
	t.Run("keys are 32 random bytes, each different", func(t *testing.T) {
		for _, name := range []string{"echo_jwt", "echo_jwt_previous"} {
			key, err := base64.StdEncoding.DecodeString(o.Platform.Secrets[name])
			require.NoError(t, err)
			assert.Len(t, key, 32)
		}
		assert.NotEqual(t, o.Platform.Secrets["echo_jwt"], o.Platform.Secrets["echo_jwt_previous"])
	})
	t.Run("a generated password is shown once, a key never", func(t *testing.T) {
		assert.Equal(t, 1, strings.Count(first.Out, o.Platform.Secrets["echo_first_password"]))
		assert.NotContains(t, first.Out, o.Platform.Secrets["echo_jwt"])
		assert.NotContains(t, first.Out, o.Platform.Secrets["echo_jwt_previous"])
	})
	t.Run("a new image upgrades the service, even a suspended one", func(t *testing.T) {
		o.Platform.Service.Status = "SUSPENDED"
		upgrade := o.Run(nil, "", "--digest", Digest('b'))
		require.Zero(t, upgrade.Code, upgrade.Out)
		assert.NotEqual(t, path, o.Platform.Service.Path)
		assert.Contains(t, o.Platform.Service.Comment, Digest('b'))
		assert.Equal(t, "RUNNING", o.Platform.Service.Status)
	})
	t.Run("a version that does not become ready is rolled back", func(t *testing.T) {
		good := *o.Platform.Service
		o.Platform.Broken = Digest('c')
		failed := o.Run(nil, "", "--digest", Digest('c'), "--timeout", "0")
		assert.Equal(t, 1, failed.Code)
		assert.Contains(t, failed.Out, "FAILED - "+Digest('c')+" 1 exited_with_2", "which containers are not ready, and why")
		assert.Contains(t, failed.Out, "the last words\nof the container\n", "as they were logged")
		assert.Contains(t, failed.Out, "the new version did not become ready: the one before is back")
		assert.Equal(t, good, *o.Platform.Service)
	})
}

// testLater repeats and breaks deployments of a service that runs.
func testLater(t *testing.T, o Operator) {
	first := o.Run(nil, "\n", "--digest", Digest('b'))
	require.Zero(t, first.Code, first.Out)
	o.Platform.Take()
	t.Run("a second deployment changes nothing", func(t *testing.T) {
		before, secrets := *o.Platform.Service, fmt.Sprint(o.Platform.Secrets)
		again := o.Run(nil, "", "--digest", Digest('b'))
		require.Zero(t, again.Code, again.Out)
		for _, text := range Texts(o.Platform.Take()) {
			assert.NotRegexp(t, "^(CREATE|ALTER SERVICE [^ ]+ FROM)", text)
		}
		assert.Equal(t, before, *o.Platform.Service)
		assert.Equal(t, secrets, fmt.Sprint(o.Platform.Secrets))
		assert.NotContains(t, again.Out, "password")
	})
	o.Platform.Broken = Digest('c')
	t.Run("a version that never started, and so has no log, is rolled back", func(t *testing.T) {
		good := *o.Platform.Service
		o.Platform.Refused = "SELECT SYSTEM$GET_SERVICE_LOGS"
		failed := o.Run(nil, "", "--digest", Digest('c'), "--timeout", "0")
		assert.Contains(t, failed.Out, "the new version did not become ready: the one before is back")
		assert.Equal(t, good, *o.Platform.Service)
	})
	t.Run("a version whose deployment was cut off is not taken for one that was ready", func(t *testing.T) {
		good := *o.Platform.Service
		o.Platform.Refused = "ALTER SERVICE echo_db.echo_schema.echo_service FROM @echo_db.echo_schema.echo_stage SPECIFICATION_FILE = '" + good.Path
		assert.Equal(t, 1, o.Run(nil, "", "--digest", Digest('c'), "--timeout", "0").Code)
		require.NotEqual(t, good.Path, o.Platform.Service.Path)
		o.Platform.Refused = ""
		again := o.Run(nil, "", "--digest", Digest('b'), "--timeout", "0")
		require.Zero(t, again.Code, again.Out)
		assert.Equal(t, good, *o.Platform.Service)
	})
}

// testFirstStatements compares what a first deployment sent with what the guide promises.
func testFirstStatements(t *testing.T, p *Platform, all []Statement) {
	const (
		schema     = "echo_db.echo_schema."
		properties = "MIN_INSTANCES = 2 MAX_INSTANCES = 2 MIN_READY_INSTANCES = 1 AUTO_RESUME = TRUE QUERY_WAREHOUSE = echo_wh"
	)
	path := p.Service.Path
	secret := func(name string) []string {
		return []string{
			"CREATE SECRET IF NOT EXISTS " + schema + name + " TYPE = GENERIC_STRING SECRET_STRING = '" + p.Secrets[name] + "'",
			"GRANT READ ON SECRET " + schema + name + " TO ROLE echo_role",
		}
	}
	want := map[string][]string{
		"echo_deployer": slices.Concat(
			[]string{"SHOW IMAGES IN IMAGE REPOSITORY " + schema + "echo_repo", "SHOW SECRETS IN SCHEMA echo_db.echo_schema"},
			secret("echo_jwt"), secret("echo_jwt_previous"), secret("echo_first_password")),
		"echo_role": {
			"SHOW SERVICES LIKE 'echo_service' IN SCHEMA echo_db.echo_schema",
			"CREATE SERVICE IF NOT EXISTS " + schema + "echo_service IN COMPUTE POOL echo_pool FROM @" + schema +
				"echo_stage SPECIFICATION_FILE = '" + path + "' " + properties,
			"SHOW SERVICES LIKE 'echo_service' IN SCHEMA echo_db.echo_schema",
			"SHOW SERVICE CONTAINERS IN SERVICE " + schema + "echo_service",
			"SHOW SERVICES LIKE 'echo_service' IN SCHEMA echo_db.echo_schema",
			"SHOW SERVICE CONTAINERS IN SERVICE " + schema + "echo_service",
			"ALTER SERVICE " + schema + "echo_service SET COMMENT = 'ready: " + strings.TrimSuffix(path, "/spec.yml") +
				" " + Digest('a') + "'",
			"SHOW ENDPOINTS IN SERVICE " + schema + "echo_service", // there is no address yet
			"SHOW ENDPOINTS IN SERVICE " + schema + "echo_service",
		},
	}
	for role, statements := range want {
		var sent []Statement
		for _, s := range all {
			if strings.EqualFold(s.Role, role) && !strings.HasPrefix(s.Text, "PUT ") {
				sent = append(sent, s)
			}
		}
		assert.Equal(t, statements, Texts(sent), role)
	}
}
