package demo

import "slices"

// role is one line of the service's table of roles.
type role struct {
	Role        string   `json:"role"`
	Description string   `json:"description"`
	Permissions []string `json:"permissions"`
}

var roles = []role{
	{"player", "Plays, and keeps their own things", []string{
		"create_character", "manage_own_characters", "access_therapeutic_content",
		"manage_own_profile", "export_own_data", "delete_own_data"}},
	{"therapist", "Accompanies players", []string{
		"view_patient_progress", "manage_therapeutic_content", "access_crisis_protocols",
		"view_anonymized_data", "manage_own_profile", "export_own_data"}},
	{"admin", "Runs the service", everyPermission},
	{"researcher", "Studies what carries no names", []string{
		"access_research_data", "export_anonymized_data", "manage_research_studies",
		"view_anonymized_data", "manage_own_profile"}},
	{"moderator", "Keeps shared places kind", []string{
		"moderate_content", "handle_reports", "temporary_user_actions", "manage_own_profile"}},
}

var everyPermission = []string{
	"create_character", "manage_own_characters", "access_therapeutic_content", "manage_own_profile",
	"export_own_data", "delete_own_data", "view_patient_progress", "manage_therapeutic_content",
	"access_crisis_protocols", "view_anonymized_data", "manage_users", "manage_system_config",
	"access_audit_logs", "manage_roles", "system_maintenance", "access_research_data",
	"export_anonymized_data", "manage_research_studies", "moderate_content", "handle_reports",
	"temporary_user_actions",
}

func permissionsOf(name string) []string {
	for _, r := range roles {
		if r.Role == name {
			return slices.Clone(r.Permissions)
		}
	}
	return []string{}
}

func knownRole(name string) bool {
	return slices.ContainsFunc(roles, func(r role) bool { return r.Role == name })
}
