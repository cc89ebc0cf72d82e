{{/* What has to be there and is not of this release, a line each: `kind/name (what is in it)`. */}}

{{- define "tagwarden.needed" -}}
{{- $lines := list -}}
{{- range $item := list
  (list "configmap" .Values.existingConfigMap "tagwarden.yaml")
  (list "configmap" .Values.policies.existingConfigMap "the policy, NAME.yaml")
  (list "configmap" .Values.catalogue.existingConfigMap (join ", " .Values.catalogue.keys))
  (list "configmap" .Values.shadow.existingConfigMap "the candidate, NAME.yaml")
  (list "secret" .Values.tls.secretName (.Values.tls.clientCa | ternary "tls.crt, tls.key, ca.crt" "tls.crt, tls.key"))
  (list "secret" .Values.upstreamTls.secretName (.Values.upstreamTls.clientCertificate | ternary "ca.crt, tls.crt, tls.key" "ca.crt"))
  (list "secret" .Values.issuer.clientsSecretName "clients.yaml")
  (list "secret" .Values.issuer.keysSecretName "signing keys, NAME.pem")
  (list "persistentvolumeclaim" (dig "persistentVolumeClaim" "claimName" "" .Values.data.volume) "data")
-}}
{{- if index $item 1 -}}{{- $lines = append $lines (printf "%s/%s (%s)" (index $item 0) (index $item 1) (index $item 2)) -}}{{- end -}}
{{- end -}}
{{- range .Values.secrets -}}
{{- $lines = append $lines (printf "secret/%s (the files of /etc/tagwarden/secrets/%s)" .secretName .name) -}}
{{- end -}}
{{- range .Values.env -}}
{{- with dig "valueFrom" "secretKeyRef" "" . -}}{{- $lines = append $lines (printf "secret/%s (%s)" .name .key) -}}{{- end -}}
{{- with dig "valueFrom" "configMapKeyRef" "" . -}}{{- $lines = append $lines (printf "configmap/%s (%s)" .name .key) -}}{{- end -}}
{{- end -}}
{{- range .Values.envFrom -}}
{{- with .secretRef -}}{{- $lines = append $lines (printf "secret/%s (variables)" .name) -}}{{- end -}}
{{- with .configMapRef -}}{{- $lines = append $lines (printf "configmap/%s (variables)" .name) -}}{{- end -}}
{{- end -}}
{{- range .Values.extraVolumes -}}
{{- with .secret -}}{{- $lines = append $lines (printf "secret/%s (extraVolumes)" .secretName) -}}{{- end -}}
{{- with .configMap -}}{{- $lines = append $lines (printf "configmap/%s (extraVolumes)" .name) -}}{{- end -}}
{{- end -}}
{{- if eq .Values.mode "gateway" -}}
{{- range .Values.imagePullSecrets -}}{{- $lines = append $lines (printf "secret/%s (the registry's)" .name) -}}{{- end -}}
{{- if .Values.ingress.enabled -}}
{{- range .Values.ingress.tls -}}
{{- if .secretName -}}{{- $lines = append $lines (printf "secret/%s (the Ingress')" .secretName) -}}{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- uniq $lines | join "\n" -}}
{{- end -}}

{{/* Of `kind/name (what)` lines the command that asks for all of them. */}}
{{- define "tagwarden.needed.command" -}}
kubectl -n {{ .namespace }} get{{ range splitList "\n" .lines | compact }} {{ splitList " " . | first }}{{ end }}
{{- end -}}

{{/* What callers ask, by the dialect. */}}
{{- define "tagwarden.asked" -}}
{{- $asked := dict "feast" "POST /get-online-features" "chalk" "Chalk's clients have it as their API server" "json" "the paths of the file in config.json" -}}
{{- get $asked (dig "upstream" "dialect" "" .Values.config) | default "the paths of its dialect" -}}
{{- end -}}
