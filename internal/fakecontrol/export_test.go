package fakecontrol

// Operations are the operations by name: the pattern, and what the JSON of the body
// is decoded into.
func Operations() map[string]struct {
	Pattern string
	Request any
} {
	list := make(map[string]struct {
		Pattern string
		Request any
	})
	for _, op := range operations {
		list[op.name] = struct {
			Pattern string
			Request any
		}{op.pattern, op.request}
	}
	return list
}

// SettingNames are the settings as JSON names them.
func SettingNames() (names []string) {
	for _, s := range settings {
		names = append(names, s.name)
	}
	return names
}

// OpenAPI is the description.
var OpenAPI = openapi
