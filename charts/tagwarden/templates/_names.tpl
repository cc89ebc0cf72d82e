{{/* Names and labels. */}}

{{- define "tagwarden.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 50 | trimSuffix "-" -}}
{{- else -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- if contains $name .Release.Name -}}
{{- .Release.Name | trunc 50 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 50 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "tagwarden.selectorLabels" -}}
app.kubernetes.io/name: {{ default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "tagwarden.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{ include "tagwarden.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end -}}

{{/* The labels by which our pods are found: our own, or in the sidecar form those of the pods that we are in. */}}
{{- define "tagwarden.podSelector" -}}
{{- if eq .Values.mode "gateway" -}}
{{ include "tagwarden.selectorLabels" . }}
{{- else -}}
{{ toYaml .Values.sidecar.podLabels }}
{{- end -}}
{{- end -}}

{{- define "tagwarden.serviceAccountName" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "tagwarden.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- default "default" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{/* image: {repository, tag, digest}, by the digest where there is one. */}}
{{- define "tagwarden.image" -}}
{{- $image := .image -}}
{{- if $image.digest -}}
{{- printf "%s@%s" $image.repository $image.digest -}}
{{- else -}}
{{- printf "%s:%s" $image.repository (default .appVersion $image.tag) -}}
{{- end -}}
{{- end -}}

{{- define "tagwarden.configMapName" -}}
{{- default (printf "%s-config" (include "tagwarden.fullname" .)) .Values.existingConfigMap -}}
{{- end -}}

{{- define "tagwarden.policiesConfigMapName" -}}
{{- default (printf "%s-policies" (include "tagwarden.fullname" .)) .Values.policies.existingConfigMap -}}
{{- end -}}

{{- define "tagwarden.catalogueConfigMapName" -}}
{{- default (printf "%s-catalogue" (include "tagwarden.fullname" .)) .Values.catalogue.existingConfigMap -}}
{{- end -}}

{{- define "tagwarden.shadowConfigMapName" -}}
{{- default (printf "%s-shadow" (include "tagwarden.fullname" .)) .Values.shadow.existingConfigMap -}}
{{- end -}}
