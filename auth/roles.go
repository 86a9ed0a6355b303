package auth

import (
	"maps"
	"slices"
)

// The roles of the TTA services.
const (
	RolePlayer     = "player"
	RoleTherapist  = "therapist"
	RoleResearcher = "researcher"
	RoleModerator  = "moderator"
	RoleAdmin      = "admin"
)

// permissions are all the permissions of the TTA services.
var permissions = []string{
	"create_character", "manage_own_characters", "access_therapeutic_content",
	"manage_own_profile", "export_own_data", "delete_own_data",
	"view_patient_progress", "manage_therapeutic_content", "access_crisis_protocols", "view_anonymized_data",
	"manage_users", "manage_system_config", "access_audit_logs", "manage_roles", "system_maintenance",
	"access_research_data", "export_anonymized_data", "manage_research_studies",
	"moderate_content", "handle_reports", "temporary_user_actions",
}

// grants is what each role of the TTA services grants; a role that is not here grants nothing.
var grants = map[string][]string{
	RolePlayer: {
		"create_character", "manage_own_characters", "access_therapeutic_content",
		"manage_own_profile", "export_own_data", "delete_own_data",
	},
	RoleTherapist: {
		"view_patient_progress", "manage_therapeutic_content", "access_crisis_protocols", "view_anonymized_data",
		"manage_own_profile", "export_own_data",
	},
	RoleResearcher: {
		"access_research_data", "export_anonymized_data", "manage_research_studies", "view_anonymized_data",
		"manage_own_profile",
	},
	RoleModerator: {"moderate_content", "handle_reports", "temporary_user_actions", "manage_own_profile"},
	RoleAdmin:     permissions,
}

// Permissions returns the names of all permissions of the TTA services.
func Permissions() []string { return slices.Clone(permissions) }

// Grants returns what each role of the TTA services grants, as a copy: the start of a table of your own for
// [JWT.Grants].
func Grants() map[string][]string {
	table := maps.Clone(grants)
	for role, names := range table {
		table[role] = slices.Clone(names)
	}
	return table
}
