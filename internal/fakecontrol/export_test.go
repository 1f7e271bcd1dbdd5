package fakecontrol

// Operations returns the pattern of each operation, and the type of its JSON body, by name.
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

// SettingNames returns the names of the settings in JSON.
func SettingNames() (names []string) {
	for _, s := range settings {
		names = append(names, s.name)
	}
	return names
}

// OpenAPI is openapi.json.
var OpenAPI = openapi
