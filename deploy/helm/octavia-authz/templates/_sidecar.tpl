{{/*
A sidecar for an app's pod. The app's chart names this chart as a dependency, sets

    octavia-authz:
      standalone: { enabled: false }
      sidecar: { claim: NAME, secretName: NAME }

and includes three templates, each with this chart's own scope,
(index .Subcharts "octavia-authz"):

    octavia-authz.sidecar            into initContainers
    octavia-authz.sidecar.mounts     into the app container's volumeMounts
    octavia-authz.sidecar.volumes    into volumes

The app asks unix:///run/octavia-authz/authz.sock. The pod needs `fsGroup: 65532`,
`enableServiceLinks: false`, 15 s of terminationGracePeriodSeconds beyond what the app
takes, ONE replica and `strategy: { type: Recreate }`: each sidecar has the keys of its
own volume and no others. deploy/helm/articles is a whole example.
*/}}

{{- define "octavia-authz.sidecar.env" -}}
- { name: OCTAVIA_AUTHZ_LISTEN, value: "unix:/run/octavia-authz/authz.sock?mode=0660" }
- { name: OCTAVIA_AUTHZ_ADMIN_LISTEN, value: "unix:/tmp/admin.sock?mode=0600" }
- { name: OCTAVIA_AUTHZ_OPS_LISTEN, value: "0.0.0.0:9464" }
- { name: OCTAVIA_AUTHZ_DATA_DIR, value: "/var/lib/octavia-authz/{{ .Values.sidecar.folder }}" }
{{- if .Values.sidecar.secretName }}
- { name: OCTAVIA_AUTHZ_PEPPER_FILE, value: /etc/octavia-authz/secret/pepper }
{{- end }}
{{- if .Values.sidecar.policyConfigMap }}
- { name: OCTAVIA_AUTHZ_POLICY, value: /etc/octavia-authz/policy/policy.toml }
{{- end }}
- { name: OCTAVIA_AUTHZ_WORKERS, value: {{ .Values.workers | quote }} }
- { name: OCTAVIA_AUTHZ_SERVER, value: "unix:/run/octavia-authz/authz.sock" }
- { name: OCTAVIA_AUTHZ_ADMIN_SERVER, value: "unix:/tmp/admin.sock" }
{{- end -}}

{{- define "octavia-authz.sidecar" -}}
{{- if .Values.standalone.enabled -}}
{{- fail "octavia-authz.sidecar: set octavia-authz.standalone.enabled to false, or this chart starts a standalone octavia-authz beside the sidecar, with keys of its own" -}}
{{- end -}}
- name: octavia-authz
  {{- include "octavia-authz.image" . | nindent 2 }}
  # With this it is a sidecar: started before the app, stopped after it.
  restartPolicy: Always
  env:
  {{- include "octavia-authz.environment" (dict "set" (include "octavia-authz.sidecar.env" .) "extra" .Values.extraEnv) | nindent 2 }}
  ports:
  - { name: authz-ops, containerPort: 9464 }
  {{- include "octavia-authz.probes" . | nindent 2 }}
  resources:
    {{- toYaml .Values.resources | nindent 4 }}
  securityContext:
    runAsUser: 65532
    runAsGroup: 65532
    {{- include "octavia-authz.locked" . | nindent 4 }}
  volumeMounts:
  - { name: authz-socket, mountPath: /run/octavia-authz }
  - { name: authz-data, mountPath: /var/lib/octavia-authz }
  {{- if .Values.sidecar.secretName }}
  - { name: authz-secret, mountPath: /etc/octavia-authz/secret, readOnly: true }
  {{- end }}
  {{- if .Values.sidecar.policyConfigMap }}
  - { name: authz-policy, mountPath: /etc/octavia-authz/policy, readOnly: true }
  {{- end }}
  - { name: authz-private, mountPath: /tmp }
{{- end -}}

{{/* The socket, and nothing else of octavia-authz. */}}
{{- define "octavia-authz.sidecar.mounts" -}}
- { name: authz-socket, mountPath: /run/octavia-authz, readOnly: true }
{{- end -}}

{{- define "octavia-authz.sidecar.volumes" -}}
- name: authz-socket
  emptyDir: { medium: Memory, sizeLimit: 1Mi }
- name: authz-data
  persistentVolumeClaim:
    claimName: {{ required "octavia-authz.sidecar.claim: name the PersistentVolumeClaim (ReadWriteOncePod) that keeps the keys; in an emptyDir they would be gone with the pod" .Values.sidecar.claim | quote }}
{{- if .Values.sidecar.secretName }}
- name: authz-secret
  secret: { secretName: {{ .Values.sidecar.secretName | quote }}, defaultMode: 0440 }
{{- end }}
{{- if .Values.sidecar.policyConfigMap }}
- name: authz-policy
  configMap: { name: {{ .Values.sidecar.policyConfigMap | quote }} }
{{- end }}
- name: authz-private
  emptyDir: { sizeLimit: 64Mi }
{{- end -}}
