{{/* Names, labels, and what the standalone and the sidecar have in common. */}}

{{- define "octavia-authz.fullname" -}}
{{- if contains "octavia-authz" .Release.Name -}}
{{- .Release.Name | trunc 45 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-octavia-authz" (.Release.Name | trunc 31 | trimSuffix "-") -}}
{{- end -}}
{{- end -}}

{{- define "octavia-authz.selector" -}}
app.kubernetes.io/name: octavia-authz
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "octavia-authz.backupSelector" -}}
app.kubernetes.io/name: octavia-authz-backup
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "octavia-authz.labels" -}}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end -}}

{{- define "octavia-authz.image" -}}
image: {{ printf "%s:%s" .Values.image.repository (.Values.image.tag | default .Chart.AppVersion) | quote }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
{{- end -}}

{{/* Three questions, three answers. Startup: the store is open; 5 minutes, because a
damaged state is rebuilt from the journal then. Readiness: it can decide. Liveness: it is
not stuck; a store that is away is no reason to be killed. */}}
{{- define "octavia-authz.probes" -}}
startupProbe:
  grpc: { port: 9464, service: startup }
  periodSeconds: 1
  failureThreshold: 300
readinessProbe:
  grpc: { port: 9464, service: readiness }
  periodSeconds: 2
  failureThreshold: 2
livenessProbe:
  grpc: { port: 9464, service: liveness }
  periodSeconds: 10
  timeoutSeconds: 5
{{- end -}}

{{/* An environment, `set` as text, and the variables in `extra` after it. */}}
{{- define "octavia-authz.environment" -}}
{{- $names := list -}}
{{- range concat (fromYamlArray .set) .extra -}}
{{- if has .name $names -}}
{{- fail (printf "extraEnv: %s is set already: by the chart, whose values have a name for it, or twice" .name) -}}
{{- end -}}
{{- $names = append $names .name -}}
{{- end -}}
{{- .set -}}
{{- with .extra }}
{{ toYaml . }}
{{- end -}}
{{- end -}}

{{- define "octavia-authz.locked" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: { drop: [ALL] }
{{- end -}}

{{/* Only a volume's top is given to the group, once: files in it stay 0600. */}}
{{- define "octavia-authz.podSecurity" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
fsGroup: 65532
fsGroupChangePolicy: OnRootMismatch
seccompProfile: { type: RuntimeDefault }
{{- end -}}
