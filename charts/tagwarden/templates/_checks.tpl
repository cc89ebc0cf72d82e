{{/* What values.schema.json cannot say: each refusal tells what to do. */}}

{{- define "tagwarden.checks" -}}
{{- $config := .Values.config -}}
{{- $listen := default dict $config.listen -}}
{{- $metrics := default dict $config.metrics -}}
{{- $auth := default dict $config.auth -}}
{{- if and (not $config) (not .Values.existingConfigMap) -}}
{{- fail "config is empty: write tagwarden.yaml there (`upstream`, `auth` and so on), or name an existingConfigMap" -}}
{{- end -}}
{{- if and $config .Values.existingConfigMap -}}
{{- fail "config and existingConfigMap are both there: which of them is tagwarden.yaml?" -}}
{{- end -}}
{{- if and $config (not (dig "upstream" "url" "" $config)) -}}
{{- fail "config.upstream.url is missing: where the feature server listens" -}}
{{- end -}}
{{- if and $config (not (or $auth.issuers $auth.opaque $config.issuer)) -}}
{{- if not (or (and .Values.tls.secretName .Values.tls.clientCa) (dig "client_ca" "" (default dict $listen.tls))) -}}
{{- fail "config accepts nobody: write auth.issuers, auth.opaque or issuer there, or give tls.secretName and tls.clientCa" -}}
{{- end -}}
{{- end -}}
{{- range $name := list "policies" "catalogue" "shadow" -}}
{{- $value := get $.Values $name -}}
{{- range $file, $text := $value.files -}}
{{- if not (regexMatch "^[-._a-zA-Z0-9]+\\.yaml$" $file) -}}
{{- fail (printf "%s.files has `%s`, no name that ends with .yaml: its dot needs a backslash, --set-file '%s.files.%s\\.yaml=FILE'" $name $file $name $file) -}}
{{- else if not (kindIs "string" $text) -}}
{{- fail (printf "%s.files has no text under `%s`: write it behind `|`, or give the file by --set-file" $name $file) -}}
{{- end -}}
{{- end -}}
{{- if and $value.files $value.existingConfigMap -}}
{{- fail (printf "%s.files and %s.existingConfigMap are both there: one of them goes" $name $name) -}}
{{- end -}}
{{- end -}}
{{- if and $config (not (or .Values.policies.files .Values.policies.existingConfigMap (hasKey $config "policies"))) -}}
{{- fail "there is no policy: fill policies.files, or name policies.existingConfigMap" -}}
{{- end -}}
{{- if hasPrefix "127." (default "" $listen.address) -}}
{{- fail (printf "config.listen.address is %s, which nobody reaches from outside the pod: leave it out" $listen.address) -}}
{{- end -}}
{{- if hasPrefix "127." (default "" $metrics.address) -}}
{{- fail (printf "config.metrics.address is %s, where the kubelet cannot ask: leave it out, and close the port by networkPolicy" $metrics.address) -}}
{{- end -}}
{{- if and (eq .Values.probes.readiness.handler "exec") (ne (include "tagwarden.port" (dict "root" . "name" "metrics")) "9902") -}}
{{- fail "probes.readiness.handler exec asks port 9902: with another config.metrics.address it is http" -}}
{{- end -}}
{{- range .Values.extraVolumeMounts -}}
{{- if or .subPath .subPathExpr -}}
{{- fail (printf "extraVolumeMounts: %s is mounted by subPath, and would never be updated: mount the folder" .mountPath) -}}
{{- end -}}
{{- end -}}
{{- range $name, $tag := dict "image" .Values.image.tag "tests.image" .Values.tests.image.tag -}}
{{- if eq (toString $tag) "latest" -}}
{{- fail (printf "%s.tag is latest, which is another image tomorrow: write a version, such as %s, or give %s.digest" $name $.Chart.AppVersion $name) -}}
{{- end -}}
{{- end -}}
{{- include "tagwarden.checks.plain" (dict "path" "config" "value" $config) -}}
{{- include "tagwarden.checks.plain" (dict "path" "env" "value" .Values.env) -}}
{{- include "tagwarden.checks.issuer" . -}}
{{- include "tagwarden.checks.drain" . -}}
{{- include "tagwarden.checks.sidecar" . -}}
{{- include "tagwarden.checks.network" . -}}
{{- end -}}

{{/* No address with a password in plain; it is not said again. What is in variables is not in a manifest. */}}
{{- define "tagwarden.checks.plain" -}}
{{- $path := .path -}}
{{- if or (kindIs "map" .value) (kindIs "slice" .value) -}}
{{- range $key, $value := .value -}}
{{- include "tagwarden.checks.plain" (dict "path" (kindIs "int" $key | ternary (printf "%s[%v]" $path $key) (printf "%s.%v" $path $key)) "value" $value) -}}
{{- end -}}
{{- else if kindIs "string" .value -}}
{{- $text := regexReplaceAll "\\$\\{[A-Za-z0-9_]+\\}" .value "" | replace "://:@" "://" | replace "://@" "://" -}}
{{- $address := and (hasSuffix "url" $path) (contains "@" $text) (not (regexMatch "^https?://[^@/?#\\s]+[/?#]" $text)) -}}
{{- if or $address (regexMatch "^rediss?://.*@|://[^/?#\\s]*@" $text) -}}
{{- if or (hasSuffix ".redis_url" $path) (hasPrefix "env[" $path) -}}
{{- fail (printf "%s holds a password, which a manifest would show: put the address into a Secret, have it in a variable by env: [{name: REDIS_URL, valueFrom: {secretKeyRef: {name: SECRET, key: url}}}], and write \"${REDIS_URL}\" in config" $path) -}}
{{- end -}}
{{- fail (printf "%s holds a user or a password, which tagwarden takes in no address but redis_url: leave them out; credentials are files of `secrets`" $path) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "tagwarden.checks.issuer" -}}
{{- $issuer := .Values.config.issuer -}}
{{- if not $issuer -}}
{{- if and .Values.config (or .Values.issuer.clientsSecretName .Values.issuer.keysSecretName) -}}
{{- fail "issuer.clientsSecretName and issuer.keysSecretName go with config.issuer, which is not there" -}}
{{- end -}}
{{- else -}}
{{- if not (or .Values.issuer.clientsSecretName $issuer.clients) -}}
{{- fail "config.issuer needs issuer.clientsSecretName: a Secret with clients.yaml, as `tagwarden client add` writes it" -}}
{{- end -}}
{{- $most := .Values.autoscaling.enabled | ternary .Values.autoscaling.maxReplicas .Values.replicaCount | int -}}
{{- if gt $most 1 -}}
{{- if include "tagwarden.ownStore" . -}}
{{- fail (printf "config.issuer with %d replicas needs config.issuer.store.redis_url: what one of them revokes, the others would accept" $most) -}}
{{- end -}}
{{- if not (or .Values.issuer.keysSecretName $issuer.keys) -}}
{{- fail (printf "config.issuer with %d replicas needs issuer.keysSecretName: replicas that make their own keys refuse one another's tokens" $most) -}}
{{- end -}}
{{- end -}}
{{- if and (dig "redis_url" "" (default dict $issuer.store)) (not (or .Values.issuer.keysSecretName $issuer.keys)) -}}
{{- fail "config.issuer.store.redis_url needs issuer.keysSecretName: with a Redis the keys must be there already" -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* From the first SIGTERM to the last byte of the audit log, which has two seconds. */}}
{{- define "tagwarden.checks.drain" -}}
{{- $delay := include "tagwarden.drainDelay" . | int64 -}}
{{- $timeout := include "tagwarden.drainTimeout" . | int64 -}}
{{- $needed := add $delay $timeout 2000 -}}
{{- $why := "config.drain.delay and timeout, and 2s for the audit log" -}}
{{- if and (eq .Values.mode "sidecar") (include "tagwarden.native" .) -}}
{{- $needed = add $needed $delay -}}
{{- $why = "config.drain.delay twice (the feature server waits, then we do), timeout, and 2s for the audit log" -}}
{{- end -}}
{{- $seconds := divf $needed 1000 | ceil | int64 -}}
{{- if lt (int64 .Values.terminationGracePeriodSeconds) $seconds -}}
{{- fail (printf "terminationGracePeriodSeconds is %d, and the drain needs %d: %s" (int64 .Values.terminationGracePeriodSeconds) $seconds $why) -}}
{{- end -}}
{{- end -}}

{{- define "tagwarden.checks.sidecar" -}}
{{- if eq .Values.mode "sidecar" -}}
{{- range $name := list "ingress" "autoscaling" "podDisruptionBudget" "serviceMonitor" -}}
{{- if (get $.Values $name).enabled -}}
{{- fail (printf "%s goes with mode gateway: in the sidecar form the pods and their Service are another chart's%s" $name (eq $name "serviceMonitor" | ternary " (podMonitor finds them)" "")) -}}
{{- end -}}
{{- end -}}
{{- range $name := list "url" "engine_url" -}}
{{- $address := dig "upstream" $name "" $.Values.config -}}
{{- if and $address (not (regexMatch "^(unix:|(https?://)?\\$\\{|https?://(127(\\.[0-9]+){3}|localhost|\\[::1\\])(:[0-9]+)?/?$)" $address)) -}}
{{- fail (printf "config.upstream.%s leads out of the pod: in the sidecar form the feature server is in the same one, and its Service leads to the sidecar itself; write http://127.0.0.1:PORT or unix:/PATH" $name) -}}
{{- end -}}
{{- end -}}
{{- if and (or .Values.networkPolicy.enabled .Values.podMonitor.enabled) (not .Values.sidecar.podLabels) -}}
{{- fail "sidecar.podLabels is empty: networkPolicy and podMonitor would choose every pod of the namespace" -}}
{{- end -}}
{{- if include "tagwarden.native" . -}}
{{- range $item := default list .Values.config.catalogue -}}
{{- if and (kindIs "map" $item) (hasKey $item "chalk_graph") -}}
{{- fail "catalogue has a live graph, which is read at the start, and a native sidecar starts before the feature server: sidecar.native is false then" -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "tagwarden.checks.network" -}}
{{- if and .Values.networkPolicy.enabled (eq .Values.mode "gateway") (not .Values.networkPolicy.upstream.podLabels) -}}
{{- fail "networkPolicy.upstream.podLabels is empty: which pods are the feature server's? Without them the way round stays open" -}}
{{- end -}}
{{- if .Values.autoscaling.enabled -}}
{{- if gt (int .Values.autoscaling.minReplicas) (int .Values.autoscaling.maxReplicas) -}}
{{- fail "autoscaling.minReplicas is above maxReplicas" -}}
{{- end -}}
{{- end -}}
{{- if and .Values.serviceMonitor.enabled .Values.podMonitor.enabled -}}
{{- fail "serviceMonitor and podMonitor are both on: each pod would be counted twice" -}}
{{- end -}}
{{- if and .Values.ingress.enabled (not .Values.ingress.hosts) -}}
{{- fail "ingress.hosts is empty: an Ingress without a host would take those of others" -}}
{{- end -}}
{{- end -}}
