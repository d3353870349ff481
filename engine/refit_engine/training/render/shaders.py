# SPDX-License-Identifier: GPL-3.0-or-later
"""GLSL of the renderer. Positions are in the camera frame (X right, Y down, Z forward), metres."""

from __future__ import annotations

__all__ = [
    "BACKDROP_FRAGMENT",
    "BACKDROP_VERTEX",
    "GROUND_FRAGMENT",
    "GROUND_VERTEX",
    "SHADOW_FRAGMENT",
    "SHADOW_VERTEX",
    "SURFACE_FRAGMENT",
    "SURFACE_VERTEX",
]

_HEADER = "#version 330 core\n"

_TONE = """
uniform float exposure;
vec3 display(vec3 radiance) {
    // A film-like shoulder, then the sRGB power.
    vec3 x = max(radiance * exposure, 0.0);
    return pow(x * (1.0 + x * 0.12) / (1.0 + x * 0.9), vec3(1.0 / 2.2));
}
"""

BACKDROP_VERTEX = (
    _HEADER
    + """
out vec2 place;
void main() {
    place = vec2(gl_VertexID == 1 ? 3.0 : -1.0, gl_VertexID == 2 ? 3.0 : -1.0);
    gl_Position = vec4(place, 1.0, 1.0);
}
"""
)

BACKDROP_FRAGMENT = (
    _HEADER
    + _TONE
    + """
in vec2 place;
uniform vec4 rays;             // x, y scale and shift from clip space to the plane z = 1
uniform mat3 world_from_camera;
uniform sampler2DArray panoramas;
uniform float layer;           // below 0: `picture` instead
uniform sampler2D picture;
out vec4 color;
void main() {
    if (layer < 0.0) {
        color = vec4(texture(picture, place * 0.5 + 0.5).rgb, 1.0);
        return;
    }
    vec3 ray = normalize(world_from_camera * vec3(place * rays.xy + rays.zw, 1.0));
    vec2 uv = vec2(atan(ray.x, -ray.z) / 6.2831853 + 0.5, 0.5 - asin(clamp(ray.y, -1.0, 1.0)) / 3.1415927);
    vec3 code = textureLod(panoramas, vec3(uv, layer), 0.0).rgb;
    vec3 y = pow(code, vec3(2.2));
    color = vec4(display(y / max(1.0 - y, 0.004)), 1.0);
}
"""
)

# Rest-pose coordinates that say which part of the body a point is on; shared with `cuts.py`.
_BODY_PLACE = """
uniform float arm_marks[3];    // |x| of shoulder, elbow, wrist
uniform float level_marks[6];  // y of ankle, knee, hip, waist, neck, top of the head
float arm_of(vec3 p) {
    float x = abs(p.x);
    if (p.y < level_marks[2]) return -1.0;
    if (x < arm_marks[1]) return (x - arm_marks[0]) / (arm_marks[1] - arm_marks[0]);
    return 1.0 + (x - arm_marks[1]) / (arm_marks[2] - arm_marks[1]);
}
float level_of(vec3 p) {
    for (int i = 1; i < 5; ++i)
        if (p.y < level_marks[i]) return float(i - 1) + (p.y - level_marks[i - 1]) / (level_marks[i] - level_marks[i - 1]);
    return 4.0 + (p.y - level_marks[4]) / (level_marks[5] - level_marks[4]);
}
// How far inside a cut a point is (positive inside), roughly in levels.
// cut_a: arm, bottom, top, tilt; cut_b: neck depth, neck width.
float inside(vec3 p, vec4 cut_a, vec2 cut_b) {
    float level = level_of(p) - cut_a.w * p.z;
    float d = min(cut_a.x - arm_of(p), min(level - cut_a.y, cut_a.z - level));
    float neckline = level_marks[4] - cut_b.x * (p.z > 0.0 ? 1.0 : 0.3);
    float notch = abs(p.x) - cut_b.y * clamp((p.y - neckline) / max(cut_b.x, 0.01), 0.0, 1.0);
    if (cut_b.x > 0.0 && p.y > neckline) d = min(d, notch * 8.0);
    return d;
}
"""

SURFACE_VERTEX = (
    _HEADER
    + _BODY_PLACE
    + """
in vec3 position;
in vec3 normal;
in vec2 uv;
in vec4 rest;                  // rest-pose place, ambient occlusion
uniform mat4 projection;
uniform vec4 cut_a;
uniform vec2 cut_b;
uniform vec4 inflate;          // thickness, flare at the ends, waviness, phase
out vec3 v_position;
out vec3 v_normal;
out vec2 v_uv;
out vec4 v_rest;
void main() {
    float amount = inflate.x;
    if (inflate.y > 0.0) {
        float end = max(1.0 - abs(level_of(rest.xyz) - cut_a.y) / 0.7, 0.0) + max(1.0 - abs(arm_of(rest.xyz) - cut_a.x) / 0.6, 0.0);
        amount += inflate.y * end * (0.6 + 0.4 * sin(rest.x * 31.0 + rest.z * 43.0 + inflate.w));
    }
    amount += inflate.z * (sin(rest.y * 37.0 + rest.x * 19.0 + inflate.w) * sin(rest.x * 29.0 - rest.z * 33.0 + 2.0 * inflate.w));
    v_position = position + normal * amount;
    v_normal = normal;
    v_uv = uv;
    v_rest = rest;
    gl_Position = projection * vec4(v_position, 1.0);
}
"""
)

SURFACE_FRAGMENT = (
    _HEADER
    + _TONE
    + _BODY_PLACE
    + """
in vec3 v_position;
in vec3 v_normal;
in vec2 v_uv;
in vec4 v_rest;
uniform int material;          // 0 skin, 1 painted cloth, 2 textured cloth, 3 hair
uniform vec4 cut_a;
uniform vec2 cut_b;
uniform sampler2DArray albedo;
uniform float layer;           // below 0: no texture
uniform sampler2D noise;
uniform vec3 tint;             // skin: factor; else the cloth's colour
uniform vec3 second;
uniform vec3 third;
uniform vec4 weave;            // pattern, period, logo, fine noise
uniform vec4 finish;           // folds, shine, seed, how much of the texture's own colour stays
uniform vec4 scalp;            // colour and line (line < -1: none)
uniform float beard;
uniform vec3 face;             // rest-pose centre of the head
uniform vec4 hide_a[4];
uniform vec4 hide_b[4];        // neck depth, neck width, in use
uniform mat3 world_from_camera;
uniform vec3 sh[9];
uniform vec3 sun;              // in the camera frame
uniform vec3 sun_color;
uniform mat4 shadow_from_camera;
uniform sampler2D shadow_map;
out vec4 color;

vec3 soft_light(vec3 n) {
    return max(sh[0] * 0.282095 + 0.488603 * (sh[1] * n.y + sh[2] * n.z + sh[3] * n.x)
        + 1.092548 * (sh[4] * n.x * n.y + sh[5] * n.y * n.z + sh[7] * n.x * n.z)
        + sh[6] * 0.315392 * (3.0 * n.z * n.z - 1.0) + sh[8] * 0.546274 * (n.x * n.x - n.y * n.y), 0.0);
}

float sunlit(vec3 p, vec3 n) {
    vec3 q = (shadow_from_camera * vec4(p + 0.012 * n, 1.0)).xyz * 0.5 + 0.5;
    float lit = 0.0;
    for (int i = 0; i < 4; ++i) {
        vec2 tap = vec2(i & 1, i >> 1) * 1.4 - 0.7;
        lit += step(q.z - 0.012, texture(shadow_map, q.xy + tap / 192.0).r);
    }
    return lit * 0.25;
}

vec2 cloth_place(vec3 p) {
    // Along and around: sleeves run sideways in the rest pose.
    float z = p.z * 0.6;
    return arm_of(p) > 0.0 ? vec2(p.x, p.y + z) : vec2(p.y, p.x + z * sign(p.x));
}

vec3 cloth_color(vec3 p, vec4 grain) {
    vec2 q = cloth_place(p) / weave.y + finish.z * 17.0;
    int kind = int(weave.x + 0.5);
    vec3 c = tint;
    vec2 wave = smoothstep(-0.12, 0.12, sin(q * 6.2831853));
    if (kind == 1) c = mix(tint, second, wave.x);
    else if (kind == 2) c = mix(tint, second, wave.y);
    else if (kind == 3) c = mix(mix(tint, second, 0.7 * wave.x), third, 0.5 * wave.y);
    else if (kind == 4) {
        vec4 spot = texture(noise, q * 0.06 + finish.z);
        c = mix(mix(tint, second, smoothstep(0.48, 0.54, spot.r)), third, smoothstep(0.58, 0.64, spot.g));
    }
    else if (kind == 5) c = p.y > mix(level_marks[3], level_marks[4], fract(finish.z * 7.0)) ? second : tint;
    else if (kind == 6) c = mix(second, tint, smoothstep(0.25, 0.32, length(fract(q) - 0.5)));
    if (weave.z > 0.0) {
        vec2 chest = vec2(p.x, p.y - mix(level_marks[3], level_marks[4], 0.55)) / weave.z;
        vec4 print = texture(noise, chest * 0.11 + fract(finish.z * 5.0));
        float on = step(max(abs(chest.x), abs(chest.y) * 1.3), 1.0);
        c = mix(c, print.g > 0.5 ? third : second, on * smoothstep(0.47, 0.5, print.r));
    }
    return c * (1.0 + weave.w * 2.0 * (grain.b - 0.5));
}

void main() {
    vec3 p = v_rest.xyz;
    vec3 n = normalize(v_normal);
    vec3 eye = normalize(-v_position);
    vec2 fold_place = cloth_place(p) * vec2(2.1, 0.9) + finish.z + p.z * 0.7;
    vec4 folds = texture(noise, fold_place);
    vec4 grain = texture(noise, p.xy * 11.0 + p.z * 7.0);
    vec3 base;
    float shine = finish.y, gloss = 24.0, shade = v_rest.w;
    if (material == 0) {
        for (int i = 0; i < 4; ++i)
            if (hide_b[i].z > 0.0 && inside(p, hide_a[i], hide_b[i].xy) > 0.04) discard;
        base = pow(texture(albedo, vec3(v_uv, layer)).rgb, vec3(2.2)) * tint;
        vec3 h = p - face;
        if (scalp.w > -1.0) {
            float border = h.y - 0.075 * (1.0 - scalp.w * 0.35) - max(-h.z, 0.0) * -1.6 + (h.z > 0.0 ? -h.z * 0.25 : 0.0);
            border += 0.02 * (folds.r - 0.5);
            float cap = smoothstep(-0.006, 0.006, border) * step(-0.05, h.y) * smoothstep(-0.075, -0.06, h.y);
            base = mix(base, scalp.rgb * (0.6 + 0.8 * grain.r), cap);
        }
        if (beard > 0.0) {
            float lower = smoothstep(0.0, -0.025, h.y + 0.02) * smoothstep(0.02, 0.05, h.z) * smoothstep(-0.15, -0.11, h.y);
            base = mix(base, scalp.rgb + 0.01, lower * beard * (0.5 + 0.5 * grain.r));
        }
        shine = 0.12;
    } else if (material == 1) {
        if (inside(p, cut_a, cut_b) + 0.03 * (folds.g - 0.5) < 0.0) discard;
        base = cloth_color(p, grain);
    } else {
        vec4 own = layer < 0.0 ? vec4(0.6, 0.6, 0.6, 1.0) : texture(albedo, vec3(v_uv, layer));
        if (own.a < 0.45) discard;
        vec3 linear = pow(own.rgb, vec3(2.2));
        float grey = dot(linear, vec3(0.3, 0.59, 0.11));
        vec3 painted = material == 3
            ? tint * (0.45 + 1.2 * own.g) * (0.75 + 0.5 * grain.r)
            : cloth_color(p, grain) * (0.35 + 1.3 * sqrt(grey));
        base = mix(painted, linear, finish.w);
        if (dot(n, eye) < 0.0) n = -n;
        gloss = material == 3 ? 12.0 : 24.0;
    }
    if (material != 0) {
        vec3 bend = (folds.rgb - 0.5) * 1.6 + (texture(noise, fold_place * 2.7).gbr - 0.5) * 0.7;
        n = normalize(n + finish.x * bend);
    }
    vec3 light = soft_light(world_from_camera * n) * shade * mix(vec3(1.0), vec3(0.9), folds.a);
    float facing = max(dot(n, sun), 0.0);
    float lit = facing > 0.0 ? sunlit(v_position, n) : 0.0;
    light += sun_color * facing * lit;
    float highlight = pow(max(dot(n, normalize(sun + eye)), 0.0), gloss) * lit;
    float rim = pow(1.0 - max(dot(n, eye), 0.0), 4.0);
    vec3 radiance = base * light + shine * (sun_color * highlight + 0.25 * rim * soft_light(world_from_camera * reflect(-eye, n)) * shade);
    color = vec4(display(radiance), 1.0);
}
"""
)

SHADOW_VERTEX = (
    _HEADER
    + """
in vec3 position;
uniform mat4 shadow_from_camera;
void main() { gl_Position = shadow_from_camera * vec4(position, 1.0); }
"""
)

SHADOW_FRAGMENT = _HEADER + "void main() {}\n"

GROUND_VERTEX = (
    _HEADER
    + """
in vec3 position;
uniform mat4 projection;
out vec3 v_position;
void main() {
    v_position = position;
    gl_Position = projection * vec4(position, 1.0);
}
"""
)

# Drawn with multiplicative blending over the backdrop.
GROUND_FRAGMENT = (
    _HEADER
    + """
in vec3 v_position;
uniform mat4 shadow_from_camera;
uniform sampler2D shadow_map;
uniform float strength;
uniform vec3 centre;
uniform float reach;
out vec4 color;
void main() {
    vec3 q = (shadow_from_camera * vec4(v_position, 1.0)).xyz * 0.5 + 0.5;
    float dark = 0.0;
    for (int i = 0; i < 9; ++i) {
        vec2 tap = vec2(i % 3, i / 3) - 1.0;
        vec2 at = q.xy + tap / 110.0;
        float covered = step(texture(shadow_map, at).r, min(q.z, 0.999) - 0.004);
        dark += covered * step(abs(at.x - 0.5), 0.5) * step(abs(at.y - 0.5), 0.5);
    }
    float distance = length(v_position - centre) / reach;
    float contact = exp(-distance * distance * 6.0);
    color = vec4(vec3(1.0 - strength * dark / 9.0) * (1.0 - 0.35 * contact), 1.0);
}
"""
)
