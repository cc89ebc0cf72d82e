{{/* The container and its volumes, alike in both forms. */}}

{{- define "tagwarden.container" -}}
name: tagwarden
image: {{ include "tagwarden.image" (dict "image" .Values.image "appVersion" .Chart.AppVersion) | quote }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
# Where the image has it; there is no shell, and no PATH that leads there.
command: [/tagwarden]
args:
  - serve
  - --config=/etc/tagwarden/config/tagwarden.yaml
  {{- with .Values.extraArgs }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- with .Values.env }}
env:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.envFrom }}
envFrom:
  {{- toYaml . | nindent 2 }}
{{- end }}
ports:
  - name: tagwarden
    containerPort: {{ include "tagwarden.port" (dict "root" . "name" "listen") }}
    protocol: TCP
  - name: tw-metrics
    containerPort: {{ include "tagwarden.port" (dict "root" . "name" "metrics") }}
    protocol: TCP
# Of what is written in the file this asks nothing: one that does not load at a reload is no reason to take a pod that
# serves the last good one out of service.
readinessProbe:
  {{- if eq .Values.probes.readiness.handler "exec" }}
  exec: {command: [/tagwarden, healthcheck]}
  {{- else }}
  httpGet: {path: /readyz, port: tw-metrics}
  {{- end }}
  {{- omit .Values.probes.readiness "handler" | toYaml | nindent 2 }}
livenessProbe:
  httpGet: {path: /livez, port: tw-metrics}
  {{- toYaml .Values.probes.liveness | nindent 2 }}
startupProbe:
  httpGet: {path: /livez, port: tw-metrics}
  {{- toYaml .Values.probes.startup | nindent 2 }}
{{- with .Values.resources }}
resources:
  {{- toYaml . | nindent 2 }}
{{- end }}
securityContext:
  {{- toYaml .Values.securityContext | nindent 2 }}
# Folders, never single files by subPath: those would stay as they are when the ConfigMap or Secret changes.
volumeMounts:
  {{- range include "tagwarden.mounts" . | fromYamlArray }}
  - {{ toYaml (dict "name" .name "mountPath" .path "readOnly" .readOnly) | nindent 4 | trim }}
  {{- end }}
  {{- with .Values.extraVolumeMounts }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end -}}

{{/* Name, path and source of each volume, once for both lists. */}}
{{- define "tagwarden.mounts" -}}
{{- $mode := eq .Values.mode "gateway" | ternary 288 292 -}}{{/* 0440 for the group of the pod, 0444 in pods that are not ours */}}
- {name: tagwarden-config, path: /etc/tagwarden/config, readOnly: true, source: {configMap: {name: {{ include "tagwarden.configMapName" . }}}}}
{{- if or .Values.policies.files .Values.policies.existingConfigMap }}
- {name: tagwarden-policies, path: /etc/tagwarden/policies, readOnly: true, source: {configMap: {name: {{ include "tagwarden.policiesConfigMapName" . }}}}}
{{- end }}
{{- if or .Values.catalogue.files .Values.catalogue.existingConfigMap }}
- {name: tagwarden-catalogue, path: /etc/tagwarden/catalogue, readOnly: true, source: {configMap: {name: {{ include "tagwarden.catalogueConfigMapName" . }}}}}
{{- end }}
{{- if or .Values.shadow.files .Values.shadow.existingConfigMap }}
- {name: tagwarden-shadow, path: /etc/tagwarden/shadow, readOnly: true, source: {configMap: {name: {{ include "tagwarden.shadowConfigMapName" . }}}}}
{{- end }}
{{- range .Values.secrets }}
- {name: tagwarden-secret-{{ .name }}, path: /etc/tagwarden/secrets/{{ .name }}, readOnly: true, source: {secret: {secretName: {{ .secretName }}, defaultMode: {{ $mode }}}}}
{{- end }}
{{- with .Values.tls.secretName }}
- {name: tagwarden-tls, path: /etc/tagwarden/tls, readOnly: true, source: {secret: {secretName: {{ . }}, defaultMode: {{ $mode }}}}}
{{- end }}
{{- with .Values.upstreamTls.secretName }}
- {name: tagwarden-upstream-tls, path: /etc/tagwarden/upstream-tls, readOnly: true, source: {secret: {secretName: {{ . }}, defaultMode: {{ $mode }}}}}
{{- end }}
{{- with .Values.issuer.clientsSecretName }}
- {name: tagwarden-clients, path: /etc/tagwarden/issuer/clients, readOnly: true, source: {secret: {secretName: {{ . }}, defaultMode: {{ $mode }}}}}
{{- end }}
{{- with .Values.issuer.keysSecretName }}
- {name: tagwarden-keys, path: /etc/tagwarden/issuer/keys, readOnly: true, source: {secret: {secretName: {{ . }}, defaultMode: {{ $mode }}}}}
{{- end }}
- {name: tagwarden-data, path: /var/lib/tagwarden, readOnly: false, source: {{ default (dict "emptyDir" dict) .Values.data.volume | toJson }}}
{{- end -}}

{{- define "tagwarden.volumes" -}}
{{- $volumes := list -}}
{{- range include "tagwarden.mounts" . | fromYamlArray -}}
{{- $volumes = append $volumes (merge (dict "name" .name) .source) -}}
{{- end -}}
{{- concat $volumes .Values.extraVolumes | toYaml -}}
{{- end -}}
