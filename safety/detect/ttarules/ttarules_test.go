package ttarules_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/theinterneti/tta-gateway/safety"
	"github.com/theinterneti/tta-gateway/safety/detect/ttarules"
)

var silent = safety.InspectorFunc(func(context.Context, safety.Content) (safety.Verdict, error) { return safety.Verdict{}, nil })

const document = `{"rules":[
 {"id":"a","category":"crisis_detection","crisis_type":"self_harm","level":"blocked","pattern":"(hurt|cut) myself","flags":"i"},
 {"id":"b","category":"sentiment"},
 {"id":"c","category":"other","pattern":"hopeless"}]}`

func TestImportedRulesAreInShadowUntilEnabled(t *testing.T) {
	rules, err := ttarules.Parse([]byte(document))
	require.NoError(t, err)
	assert.Equal(t, []string{"a", "c"}, rules.IDs())
	text := safety.Content{Text: []byte("I CUT MYSELF shaving, hopeless")}

	var heard []string
	in := &ttarules.Beside{First: silent, Rules: rules, Shadow: func(id string) { heard = append(heard, id) }}
	v, err := in.Inspect(t.Context(), text)
	require.NoError(t, err)
	assert.Equal(t, safety.None, v.Severity)
	assert.Equal(t, []string{"a", "c"}, heard)
	assert.EqualValues(t, 2, in.Shadowed())

	in = &ttarules.Beside{First: silent, Rules: rules, Enabled: []string{"a"}}
	v, err = in.Inspect(t.Context(), text)
	require.NoError(t, err)
	assert.Equal(t, safety.Low, v.Severity, "whatever level it claims")
	assert.Equal(t, []safety.Category{safety.SelfHarm}, v.Categories)
}

func TestABadDocumentIsRefusedWithEveryReason(t *testing.T) {
	_, err := ttarules.Parse([]byte(`{"rules":[{"id":"a","pattern":"("},{"pattern":"x"},{"id":"b","pattern":"x","flags":"z"},{"id":"c","pattern":"x"},{"id":"c","pattern":"y"}]}`))
	require.Error(t, err)
	for _, part := range []string{`rule 0 "a"`, `rule 1 ""`, `rule 2 "b"`, `rule 4 "c"`} {
		assert.ErrorContains(t, err, part)
	}
	_, err = ttarules.Parse([]byte("{"))
	assert.Error(t, err)
}

func ExampleParse() {
	rules, _ := ttarules.Parse([]byte(document))
	in := &ttarules.Beside{First: silent, Rules: rules, Enabled: []string{"c"}}
	v, _ := in.Inspect(context.Background(), safety.Content{Text: []byte("it is hopeless")})
	fmt.Println(v.Severity, v.Findings[0].Rule)
	// Output: low tta c
}
