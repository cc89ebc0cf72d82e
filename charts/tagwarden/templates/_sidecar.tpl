{{/*
The sidecar form: what another chart includes in its own pods. The context is ours: `.Subcharts.tagwarden`.
The page docs/deployment.md and charts/examples/feast-sidecar show all of it at work.
*/}}

{{- define "tagwarden.native" -}}
{{- if eq (toString .Values.sidecar.native) "auto" -}}
{{- if semverCompare ">=1.29.0-0" .Capabilities.KubeVersion.Version -}}yes{{- end -}}
{{- else if eq (toString .Values.sidecar.native) "true" -}}yes{{- end -}}
{{- end -}}

{{/* An item of `initContainers`: a native sidecar, or nothing. */}}
{{- define "tagwarden.sidecar.initContainer" -}}
{{- include "tagwarden.checks" . -}}
{{- if include "tagwarden.native" . -}}
- {{ include "tagwarden.container" . | nindent 2 | trim }}
  restartPolicy: Always
{{- end -}}
{{- end -}}

{{/* An item of `containers`: a plain sidecar, or nothing. */}}
{{- define "tagwarden.sidecar.container" -}}
{{- include "tagwarden.checks" . -}}
{{- if not (include "tagwarden.native" .) -}}
- {{ include "tagwarden.container" . | nindent 2 | trim }}
{{- end -}}
{{- end -}}

{{/*
How long the feature server's container waits before it is told to end.
native: we are told last, when it has ended; so it waits until no new requests come, and then finishes what it has.
plain: we are told at once, and go on for `delay`, then finish within `timeout`; so it waits for all of that.
*/}}
{{- define "tagwarden.sidecar.upstreamWait" -}}
{{- $delay := include "tagwarden.drainDelay" . | int64 -}}
{{- $milliseconds := eq "yes" (include "tagwarden.native" .) | ternary $delay (add $delay (include "tagwarden.drainTimeout" .)) -}}
{{- divf $milliseconds 1000 | ceil | int64 -}}
{{- end -}}

{{/* `lifecycle` of the feature server's container, or nothing. */}}
{{- define "tagwarden.sidecar.upstreamLifecycle" -}}
{{- $seconds := include "tagwarden.sidecar.upstreamWait" . | int64 -}}
{{- $how := .Values.sidecar.preStop -}}
{{- if eq $how "auto" -}}
{{- $how = semverCompare ">=1.30.0-0" .Capabilities.KubeVersion.Version | ternary "sleep" "exec" -}}
{{- end -}}
{{- if and (gt $seconds 0) (ne $how "none") -}}
preStop:
  {{- if eq $how "sleep" }}
  sleep: {seconds: {{ $seconds }}}
  {{- else }}
  exec: {command: [sleep, {{ $seconds | quote }}]}
  {{- end }}
{{- end -}}
{{- end -}}
