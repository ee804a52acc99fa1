package ports

// CheckResult is what one check of an installation found. An operator reads it, or sends it with a question.
type CheckResult struct {
	Check  string      `json:"check"` // what was checked, such as "tables"
	Status CheckStatus `json:"status"`
	Detail string      `json:"detail"`         // what was found; no secret and no data of users
	Cure   string      `json:"cure,omitempty"` // what to do; empty if Status is CheckOK
}

// CheckStatus is the verdict of a check.
type CheckStatus string

// The values of CheckStatus.
const (
	CheckOK      CheckStatus = "ok"
	CheckWarning CheckStatus = "warning" // the service works, but not as well as it could; or it is not known
	CheckFailed  CheckStatus = "failed"  // the service cannot work
)
