{{/* tagwarden.yaml: what the user wrote, with what goes without saying in a pod. */}}

{{- define "tagwarden.config" -}}
{{- $config := deepCopy .Values.config -}}
{{- $config = merge $config (dict "version" 1) -}}
{{- if not (hasKey $config "policies") -}}
{{- $_ := set $config "policies" "/etc/tagwarden/policies" -}}
{{- end -}}
{{- $listen := default dict $config.listen -}}
{{- if not $listen.address -}}{{- $_ := set $listen "address" "0.0.0.0:8080" -}}{{- end -}}
{{- if and .Values.tls.secretName (not $listen.tls) -}}
{{- $tls := dict "cert" "/etc/tagwarden/tls/tls.crt" "key" "/etc/tagwarden/tls/tls.key" -}}
{{- if .Values.tls.clientCa -}}{{- $_ := set $tls "client_ca" "/etc/tagwarden/tls/ca.crt" -}}{{- end -}}
{{- $_ := set $listen "tls" $tls -}}
{{- end -}}
{{- $_ := set $config "listen" $listen -}}
{{- $metrics := default dict $config.metrics -}}
{{- if not $metrics.address -}}{{- $_ := set $metrics "address" "0.0.0.0:9902" -}}{{- end -}}
{{- $_ := set $config "metrics" $metrics -}}
{{- if not (hasKey $config "catalogue") -}}
{{- $names := not (empty .Values.catalogue.existingConfigMap) | ternary .Values.catalogue.keys (keys .Values.catalogue.files | sortAlpha) -}}
{{- $paths := list -}}
{{- range $names -}}{{- $paths = append $paths (printf "/etc/tagwarden/catalogue/%s" .) -}}{{- end -}}
{{- if $paths -}}{{- $_ := set $config "catalogue" $paths -}}{{- end -}}
{{- end -}}
{{- if and (or .Values.shadow.files .Values.shadow.existingConfigMap) (not (hasKey $config "shadow")) -}}
{{- $_ := set $config "shadow" (dict "policies" "/etc/tagwarden/shadow") -}}
{{- end -}}
{{- if and .Values.upstreamTls.secretName $config.upstream (not (dig "tls" "" $config.upstream)) -}}
{{- $tls := dict "ca" "/etc/tagwarden/upstream-tls/ca.crt" -}}
{{- if .Values.upstreamTls.clientCertificate -}}
{{- $_ := set $tls "cert" "/etc/tagwarden/upstream-tls/tls.crt" -}}
{{- $_ := set $tls "key" "/etc/tagwarden/upstream-tls/tls.key" -}}
{{- end -}}
{{- $_ := set $config.upstream "tls" $tls -}}
{{- end -}}
{{- with $config.issuer -}}
{{- if and $.Values.issuer.clientsSecretName (not .clients) -}}
{{- $_ := set . "clients" "/etc/tagwarden/issuer/clients/clients.yaml" -}}
{{- end -}}
{{- if not .keys -}}
{{- $_ := set . "keys" (not (empty $.Values.issuer.keysSecretName) | ternary "/etc/tagwarden/issuer/keys" "/var/lib/tagwarden/keys") -}}
{{- end -}}
{{- if not .store -}}
{{- $_ := set . "store" (dict "embedded" "/var/lib/tagwarden/tokens.redb") -}}
{{- end -}}
{{- end -}}
{{- toYaml $config -}}
{{- end -}}

{{/* The port of `listen` or `metrics`: what stands behind the last colon. A configuration of one's own is taken to have the usual ones. */}}
{{- define "tagwarden.port" -}}
{{- $config := include "tagwarden.config" .root | fromYaml -}}
{{- (get $config .name).address | splitList ":" | last -}}
{{- end -}}

{{/* Callers speak TLS with us. */}}
{{- define "tagwarden.https" -}}
{{- if or .Values.tls.secretName (default dict .Values.config.listen).tls -}}yes{{- end -}}
{{- end -}}

{{/* Tokens of the built-in issuer are kept by one pod alone. */}}
{{- define "tagwarden.ownStore" -}}
{{- with .Values.config.issuer -}}
{{- if not (dig "redis_url" "" (default dict .store)) -}}yes{{- end -}}
{{- end -}}
{{- end -}}

{{/* A duration of tagwarden.yaml in milliseconds. One in a variable cannot be known here: the default is taken. */}}
{{- define "tagwarden.milliseconds" -}}
{{- $text := default .default .text -}}
{{- if contains "${" $text -}}{{- $text = .default -}}{{- end -}}
{{- $number := regexFind "^[0-9]+" $text | int64 -}}
{{- $unit := regexFind "[a-z]+$" $text -}}
{{- mul $number (get (dict "ms" 1 "s" 1000 "m" 60000 "h" 3600000 "d" 86400000) $unit) -}}
{{- end -}}

{{- define "tagwarden.drainDelay" -}}
{{- include "tagwarden.milliseconds" (dict "default" "5s" "text" (dig "delay" nil (default dict .Values.config.drain))) -}}
{{- end -}}

{{- define "tagwarden.drainTimeout" -}}
{{- include "tagwarden.milliseconds" (dict "default" "25s" "text" (dig "timeout" nil (default dict .Values.config.drain))) -}}
{{- end -}}
