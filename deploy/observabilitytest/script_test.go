package observabilitytest

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestTheMonitoringRoleMayReadTheViewsAndNothingElse(t *testing.T) {
	var grants []string
	for _, st := range script(t) {
		if grant, ok := strings.CutSuffix(st, " TO ROLE echo_monitor"); ok {
			grants = append(grants, grant)
		}
	}
	assert.Equal(t, []string{
		"GRANT USAGE ON DATABASE echo_db",
		"GRANT USAGE ON SCHEMA echo_db.echo_observability",
		"GRANT USAGE ON WAREHOUSE echo_monitor_wh",
		"GRANT SELECT ON ALL VIEWS IN SCHEMA echo_db.echo_observability",
	}, grants)
}

func TestTheScriptReplacesOnlyViewsAndDropsNothing(t *testing.T) {
	for _, st := range script(t) {
		assert.Regexp(t, `^(CREATE OR REPLACE VIEW \w+\s|CREATE (ROLE|WAREHOUSE|SCHEMA) IF NOT EXISTS |`+
			`USE SCHEMA echo_db\.echo_observability$|GRANT (ROLE|USAGE|SELECT) )`, st)
	}
}
