package discovery

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
	"slices"
	"strings"
)

// decodeStrict decodes a JSON object into the struct that v points to, with
// all complaints at once: unknown members (names are case-sensitive here),
// members given twice, values of the wrong kind, and what follows the object.
func decodeStrict(body []byte, v any) error {
	members, err := objectMembers(body)
	if err != nil {
		return err
	}
	fields := jsonFields(reflect.ValueOf(v).Elem())
	errs, seen := []error(nil), map[string]bool{}
	for _, m := range members {
		field, known := fields[m.name]
		switch {
		case !known:
			errs = append(errs, invalid("unknown member %q: use %s", clip(m.name), memberNames(fields)))
		case seen[m.name]:
			errs = append(errs, invalid("member %q is given twice: remove one", m.name))
		case json.Unmarshal(m.value, field.Addr().Interface()) != nil:
			errs = append(errs, invalid("member %q has the wrong type: use %s", m.name, kindName(field.Type())))
		}
		seen[m.name] = true
	}
	return errors.Join(errs...)
}

type member struct {
	name  string
	value json.RawMessage
}

// objectMembers returns the members of the one object that body is, in order.
func objectMembers(body []byte) ([]member, error) {
	d := json.NewDecoder(bytes.NewReader(body))
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return nil, invalid("body is not a JSON object")
	}
	var members []member
	for d.More() {
		m, err := nextMember(d)
		if err != nil {
			return nil, invalid("body is not JSON near byte %d", d.InputOffset())
		}
		members = append(members, m)
	}
	if _, err := d.Token(); err != nil {
		return nil, invalid("body ends within its JSON object")
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, invalid("body goes on after its JSON object: remove what follows")
	}
	return members, nil
}

func nextMember(d *json.Decoder) (m member, err error) {
	t, err := d.Token()
	if err != nil {
		return m, err
	}
	m.name, _ = t.(string)
	return m, d.Decode(&m.value)
}

// jsonFields returns the fields of a struct by their JSON names.
func jsonFields(v reflect.Value) map[string]reflect.Value {
	fields := map[string]reflect.Value{}
	for n := range v.NumField() {
		fields[v.Type().Field(n).Tag.Get("json")] = v.Field(n)
	}
	return fields
}

func memberNames(fields map[string]reflect.Value) string {
	var names []string
	for name := range fields {
		names = append(names, name)
	}
	slices.Sort(names)
	return strings.Join(names, ", ")
}

// kindName says in JSON's words what a Go type is decoded from.
func kindName(t reflect.Type) string {
	switch t.Kind() {
	case reflect.String:
		return "a string"
	case reflect.Bool:
		return "true or false"
	case reflect.Int:
		return "a whole number"
	case reflect.Float64:
		return "a number"
	case reflect.Slice:
		return fmt.Sprintf("an array, each item %s", kindName(t.Elem()))
	case reflect.Map:
		return fmt.Sprintf("an object, each member %s", kindName(t.Elem()))
	}
	return t.String()
}
